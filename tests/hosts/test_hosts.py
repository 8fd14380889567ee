"""The NixOS module's units, unchanged, under this machine's systemd: five hosts, the whole deployment, real faults.

The scenarios are those of process-compose stacks and of the NixOS tests; what a NixOS machine adds (its own Valkey and
PostgreSQL units, its kernel, its firewall) is not seen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.conftest import Deployment
from windtunnel.drill.remote_cluster import MARKS, wait
from windtunnel.drill.scenarios import hosts
from windtunnel.drill.scenarios.broker_away import broker_away_while_tasks_wait
from windtunnel.drill.scenarios.broker_crash import broker_killed_while_tasks_run
from windtunnel.drill.scenarios.worker_crash import worker_killed_mid_task
from windtunnel.drill.steps import launch, wait_final, wait_running

pytestmark = pytest.mark.long
SERVICES = (
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "flower",
    "reconciler",
    "worker-0",
    "worker-1",
)


def test_every_process_runs(deployed: Deployment) -> None:
    for service in SERVICES:
        found = deployed.hosts[deployed.cluster.roles[service].name].properties(
            f"windtunnel-{service}", "ActiveState", "SubState"
        )
        assert found == {"ActiveState": "active", "SubState": "running"}, service


def test_every_process_has_the_executor_and_none_a_secret_in_its_environment_or_arguments(
    deployed: Deployment,
) -> None:
    password = deployed.cluster.secret("valkey-password")
    for service in SERVICES:
        host = deployed.hosts[deployed.cluster.roles[service].name]
        pid = deployed.cluster.main_pid(service)
        environment = host.succeed(f"tr '\\0' '\\n' < /proc/{pid}/environ")
        assert "AIRFLOW__CORE__EXECUTOR=CeleryExecutor" in environment.splitlines(), service
        assert password not in environment + host.succeed(f"tr '\\0' ' ' < /proc/{pid}/cmdline"), (
            service
        )


@pytest.mark.parametrize("service", ["worker-0", "scheduler", "api-server"])
def test_a_unit_is_confined(deployed: Deployment, service: str) -> None:
    host, pid = (
        deployed.hosts[deployed.cluster.roles[service].name],
        deployed.cluster.main_pid(service),
    )
    status = dict(
        line.split(":\t", 1)
        for line in host.succeed(f"cat /proc/{pid}/status").splitlines()
        if ":\t" in line
    )
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert int(status["CapBnd"], 16) == 0
    assert status["Uid"].split() == ["990"] * 4
    inside = f"nsenter --target {pid} --mount"
    assert host.execute(f"{inside} touch /etc/written")[0] != 0, "ProtectSystem=strict"
    assert host.succeed(f"{inside} ls -A /root").strip() == "", "ProtectHome"
    seen = set(host.succeed(f"{inside} ls /var/lib/windtunnel/secrets").split())
    assert "broker-url" in seen
    assert not seen & {"valkey-password", "postgres-password", "airflow-password"}
    assert (
        host.execute(
            f"setpriv --reuid=990 --clear-groups {inside} cat /var/lib/windtunnel-secrets/broker-url"
        )[0]
        != 0
    )


def test_every_worker_has_a_share(deployed: Deployment) -> None:
    deployed.cluster.rehearse(hosts.every_worker_has_a_share)


def test_a_tasks_log_is_read_from_the_host_that_ran_it(deployed: Deployment) -> None:
    [run] = launch(deployed.cluster, "steady", seconds=0)
    [(_, instance)] = wait_final(deployed.cluster, [run], 60)
    assert instance.hostname in ("worker1", "worker2")
    log = deployed.cluster.airflow(
        f"/dags/steady/dagRuns/{run.run_id}/taskInstances/work/logs/1?full_content=true"
    )
    assert f"http://{instance.hostname}:8793/log/" in str(log), "it says where it was read"
    assert "Could not read" not in str(log)


def test_systemctl_stop_lets_the_task_in_hand_end(deployed: Deployment) -> None:
    results: list[dict[str, str]] = []

    def stop(node: str) -> None:
        deployed.cluster.stop(node)
        results.append(
            deployed.host_of(node).properties(f"windtunnel-{node}", "Result", "ExecMainStatus")
        )

    deployed.cluster.rehearse(hosts.worker_stopped_mid_task, stop=stop)
    assert results == [{"Result": "success", "ExecMainStatus": "0"}]


def test_power_off_lets_the_task_in_hand_end(deployed: Deployment) -> None:
    def power_off(node: str) -> None:
        took = deployed.host_of(node).shutdown()
        deployed.host_of(node).start()
        assert took < 60

    deployed.cluster.rehearse(hosts.worker_stopped_mid_task, stop=power_off)


@pytest.mark.parametrize("part", ["", "/supervisor"], ids=["celery", "supervisor"])
def test_kill_of_a_workers_main_process(deployed: Deployment, part: str) -> None:
    """Both what systemd started and Celery's own: the task is retried, never doubled, and the worker is back."""
    before = {
        node: deployed.host_of(node).properties(f"windtunnel-{node}", "NRestarts")
        for node in deployed.cluster.nodes
    }
    deployed.cluster.rehearse(worker_killed_mid_task, part=part, elsewhere=False)
    after = {
        node: deployed.host_of(node).properties(f"windtunnel-{node}", "NRestarts")
        for node in deployed.cluster.nodes
    }
    assert (after != before) == bool(part), (
        "systemd restarts the supervisor, and the supervisor Celery"
    )


def test_a_hungry_task_is_ended_by_the_units_ceiling_and_the_worker_serves_on(
    deployed: Deployment,
) -> None:
    main = {node: deployed.cluster.main_pid(node) for node in deployed.cluster.nodes}
    [run] = launch(deployed.cluster, "memory", megabytes=3000, seconds=30)
    [(_, instance)] = wait_final(deployed.cluster, [run], 180)
    assert instance.state == "failed"
    hungry = next(
        node
        for node in deployed.cluster.nodes
        if deployed.cluster.roles[node].name == instance.hostname
    )
    wait(lambda: deployed.cluster.up(hungry), "the worker to serve", patience=60)
    host = deployed.host_of(hungry)
    assert (
        host.properties(f"windtunnel-{hungry}", "ActiveState", "NRestarts")["ActiveState"]
        == "active"
    )
    assert deployed.cluster.main_pid(hungry) == main[hungry], "the worker itself was not the victim"
    control_group = host.properties(f"windtunnel-{hungry}", "ControlGroup")["ControlGroup"]
    events = f"cat /sys/fs/cgroup/memory{control_group}/memory.oom_control /sys/fs/cgroup{control_group}/memory.events 2>/dev/null"
    killed = [
        line.split()[1]
        for line in host.execute(events)[1].splitlines()
        if line.startswith("oom_kill ")
    ]
    assert killed and int(killed[0]) > 0, "it was the kernel"


def test_a_worker_whose_cable_is_cut(deployed: Deployment) -> None:
    deployed.cluster.rehearse(hosts.worker_cut_off_and_healed)


@pytest.mark.parametrize(
    "scenario",
    [broker_killed_while_tasks_run, broker_away_while_tasks_wait],
    ids=lambda s: str(s.__name__),
)
def test_the_broker_fails(deployed: Deployment, scenario: Callable[..., Any]) -> None:
    deployed.cluster.rehearse(scenario)


def test_power_loss_of_a_workers_host(deployed: Deployment) -> None:
    """What it ran is retried elsewhere; its ledger is found at the next boot."""
    [run] = launch(deployed.cluster, "retry", seconds=20, failures=0)
    [mark] = wait_running(deployed.cluster, [run])
    began = time.monotonic()
    deployed.host_of(mark.worker).crash()
    deployed.host_of(mark.worker).start()
    [(_, instance)] = wait_final(deployed.cluster, [run], 180)
    assert instance.state == "success"
    assert instance.try_number == 2, f"after {time.monotonic() - began:.0f} s"
    assert deployed.host_of(mark.worker).succeed(f"cat {MARKS}")
