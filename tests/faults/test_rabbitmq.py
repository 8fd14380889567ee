"""A stack on RabbitMQ, where rabbitmq-server is installed: what differs from Valkey, and the rows of the failure table.

All rows: `BROKER=rabbitmq ./dev pytest tests/faults/test_rows.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amqp
import psutil
import pytest

from tests.faults.conftest import rehearse_on
from tests.stack_fixture import NewStack, Stack, read_marks, until
from windtunnel.brokers import choice, rabbitmq_management, rabbitmq_programs
from windtunnel.brokers.rabbitmq import HEARTBEAT_SECONDS
from windtunnel.brokers.rabbitmq_client import connect
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.errors import WindtunnelError
from windtunnel.stack import leftovers
from windtunnel.stack.ports import free_offset


def _why_not() -> str:
    try:
        rabbitmq_programs.find()
    except WindtunnelError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker with two slots."""
    shared = Stack(
        state=tmp_path_factory.mktemp("rabbit") / "state",
        offset=free_offset("rabbitmq"),
        BROKER="rabbitmq",
        WORKER_CONCURRENCY="2",
    )
    try:
        shared.up()
        yield shared
    finally:
        shared.destroy()


@pytest.fixture
def cluster(rabbit: Stack, tmp_path: Path) -> Iterator[LocalCluster]:
    made = LocalCluster(rabbit.settings, tmp_path / "marks")
    yield made
    wrong = made.heal()
    assert wrong == [], f"the stack did not recover: {wrong}"


def test_a_run_goes_over_quorum_queues_and_status_and_flower_show_them(rabbit: Stack) -> None:
    assert rabbit.run("hello")[1] == "success"
    kinds = {
        row["name"]: (row["type"], row.get("exclusive"))
        for row in rabbitmq_management._get(rabbit.settings, "/api/queues/airflow")[0]
    }
    assert kinds["default"] == kinds["windtunnel.lost"] == ("quorum", False)
    others = {name: kind for name, kind in kinds.items() if kind[0] != "quorum"}
    assert others and {exclusive for _, exclusive in others.values()} == {True}, others
    assert not [name for name in kinds if name.startswith("celery_delayed")]
    status = rabbit.status()
    names = {row["name"] for row in status["processes"]}
    assert "rabbitmq" in names and "valkey" not in names
    assert status["state"] == "healthy" and "default" in status["queues"]
    assert "rabbitmq" in status["urls"]
    assert "default" in until("Flower counts the queue", rabbit.flower.queue_lengths, 30)


def test_doctor_names_the_server_and_its_ports(rabbit: Stack) -> None:
    text = rabbit.command("windtunnel", "doctor").stdout
    assert "RabbitMQ: " in text and "Valkey" not in text
    assert str(rabbit.settings.ports.amqp) in text


def test_nothing_listens_beyond_loopback_and_no_secret_is_in_arguments_or_logs(
    rabbit: Stack,
) -> None:
    found = leftovers.find(rabbit.settings)
    assert "beam.smp" in {process.name() for process in found}
    listening = set()
    for process in found:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.add(connection.laddr.ip)
    assert listening <= {"127.0.0.1", "::1"}
    secrets = [rabbit.settings.secret(name) for name in choice.of(rabbit.settings).secrets]
    texts = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    logs = [path for path in rabbit.settings.logs.rglob("*") if path.is_file()]
    texts += [path.read_text(errors="replace") for path in logs]
    assert not [secret for secret in secrets if any(secret in text for text in texts)]


def test_a_drain_that_is_longer_than_two_heartbeats_delivers_nothing_twice(
    rabbit: Stack, marks: Path
) -> None:
    run_id = rabbit.trigger("steady", seconds=3 * HEARTBEAT_SECONDS, marks=marks)
    until("it runs", lambda: read_marks(marks), 60)
    rabbit.scale(2)
    done = rabbit.command("windtunnel", "drain", "worker-0", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rabbit.finished("steady", run_id) == "success"
    events = [mark.event for mark in read_marks(marks)]
    assert events.count("start") == events.count("end") == 1
    logs = [rabbit.settings.logs / f"worker-{n}.log" for n in (0, 1)]
    task = rabbit.tasks("steady", run_id)[0]
    received = sum(log.read_text().count("] received") for log in logs[1:])
    assert task.try_number == 1 and received == 0, "its message was delivered again"
    rabbit.command("process-compose", "process", "start", "worker-0")
    rabbit.scale(1)


def test_a_worker_of_two_queues_keeps_no_message_that_it_cannot_start(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack(BROKER="rabbitmq", WORKER_CONCURRENCY="1", WORKER_QUEUES="default,heavy")
    stack.up()
    stack.trigger("steady", seconds=60, marks=marks)
    until("the slot is taken", lambda: read_marks(marks), 60)
    connection = connect(stack.settings.secret("broker-url"), 5)
    channel = connection.channel()
    headers = {"id": "another", "task": "execute_workload"}
    message = amqp.Message("[]", delivery_mode=2, application_headers=headers)
    channel.basic_publish(message, routing_key="heavy")
    until(
        "the busy worker has it",
        lambda: not channel.queue_declare("heavy", passive=True).message_count,
    )
    # As another worker with a free slot would.
    got: list[Any] = []
    channel.basic_consume("heavy", callback=got.append)
    end = time.monotonic() + 10
    while not got and time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=1)
    assert [m.headers["id"] for m in got] == ["another"]
    channel.basic_ack(got[0].delivery_tag)
    connection.close()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("broker-away", {"tasks": 4, "seconds": 15}),
        ("broker-killed", {"queued": 10, "long": 25}),
        ("worker-killed", {}),
        ("workers-away", {"tasks": 10, "hold": 10}),
        ("partition", {}),
        ("partition-drain", {}),
    ],
)
def test_a_row_of_the_failure_table_holds(
    cluster: LocalCluster, name: str, options: dict[str, float]
) -> None:
    rehearse_on(cluster, name, **options)


@pytest.mark.long
def test_a_task_that_outlives_the_consumer_timeout_succeeds_once(
    new_stack: NewStack, marks: Path
) -> None:
    # RabbitMQ looks every 60 s (channel_tick_interval).
    stack = new_stack(
        BROKER="rabbitmq", WORKER_CONCURRENCY="2", WINDTUNNEL_CONSUMER_TIMEOUT_SECONDS="20"
    )
    stack.up()
    run_id = stack.trigger("steady", seconds=150, marks=marks)
    assert stack.finished("steady", run_id, 240) == "success"
    events = [mark.event for mark in read_marks(marks)]
    assert events.count("start") == events.count("end") == 1
    log = (stack.settings.logs / "worker-0.log").read_text()
    assert "PRECONDITION_FAILED" in log and "Unrecoverable" not in log
    depths = choice.of(stack.settings).depths
    until("no message is left", lambda: not depths(stack.settings).unacknowledged, 60)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_task_of_35_minutes_succeeds_once(rabbit: Stack, marks: Path) -> None:
    run_id = rabbit.trigger("steady", seconds=2100, marks=marks)
    assert rabbit.finished("steady", run_id, 2400) == "success"
    events = [mark.event for mark in read_marks(marks)]
    assert events.count("start") == events.count("end") == 1


def test_down_leaves_nothing_of_erlang(new_stack: NewStack) -> None:
    stack = new_stack(BROKER="rabbitmq", WORKER_CONCURRENCY="1")
    stack.command("process-compose", "up", "-D", check=True)
    until("it serves", lambda: choice.of(stack.settings).fault(stack.settings) is None, 90)
    assert stack.down().returncode == 0
    assert leftovers.find(stack.settings) == []
    port = str(stack.settings.ports.epmd)
    left = [p for p in psutil.process_iter() if p.name() in ("epmd", "beam.smp")]
    assert not [p for p in left if port in " ".join(p.cmdline()) or _port(p) == port]


def _port(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("ERL_EPMD_PORT", ""))
    except psutil.Error:
        return ""
