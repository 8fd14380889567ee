"""The failures that this deployment promises to survive.

Each is a short function that breaks something and looks.
A scenario is written against `drill.cluster.Cluster`.
So the same one runs in pytest, as a rehearsal for users (`windtunnel drill`) and on several hosts.
Its defaults are the short variant; tests pass longer outages and more cycles.
Over 200 lines, because it is a list with one entry for each scenario.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from windtunnel.drill.cluster import Away, Check, Checks, LocalStack, NotPossibleHere
from windtunnel.drill.recording import Recording
from windtunnel.drill.scenarios.broker_away import (
    broker_away_while_tasks_wait,
    scheduler_lost_while_broker_away,
    scheduler_started_while_broker_away,
)
from windtunnel.drill.scenarios.broker_crash import (
    broker_killed_again_and_again,
    broker_killed_while_tasks_run,
)
from windtunnel.drill.scenarios.clocks import clock_jump, machine_asleep
from windtunnel.drill.scenarios.components import components_killed
from windtunnel.drill.scenarios.database_away import database_away, database_killed
from windtunnel.drill.scenarios.disk_full import disk_full
from windtunnel.drill.scenarios.everything_killed import everything_killed
from windtunnel.drill.scenarios.long_task import long_task
from windtunnel.drill.scenarios.partition import (
    worker_cut_off_from_the_broker,
    worker_drained_while_cut_off,
)
from windtunnel.drill.scenarios.rolling import rolling_restart_and_scaling
from windtunnel.drill.scenarios.soak import soak
from windtunnel.drill.scenarios.task_killed import task_out_of_memory, task_process_killed
from windtunnel.drill.scenarios.unhealthy_worker import (
    worker_hung,
    worker_not_consuming,
    worker_stopped,
)
from windtunnel.drill.scenarios.worker_crash import (
    worker_killed_mid_task,
    worker_killed_under_a_task_without_retries,
)
from windtunnel.drill.scenarios.workers_away import workers_away
from windtunnel.drill.steps import NeverCame
from windtunnel.errors import WindtunnelError


@dataclass(frozen=True)
class Scenario:
    """One rehearsal. `row`: of the failure table. `asked_for`: it runs only when it is named."""

    name: str
    row: str
    title: str
    play: Callable[..., None]
    options: dict[str, Any] = field(default_factory=dict)
    asked_for: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a rehearsal.

    `seconds` is its whole length. `skipped` is the reason why this machine cannot play it.
    """

    scenario: Scenario
    checks: list[Check]
    seconds: float
    skipped: str = ""
    recording: Recording | None = None
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether no promise was broken. One that checked nothing is no pass, unless skipped."""
        if self.skipped:
            return True
        if self.interrupted:
            return False
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def verdict(self) -> str:
        """`skipped`, `success` or `failed`."""
        return "skipped" if self.skipped else "success" if self.ok else "failed"

    @property
    def words(self) -> str:
        """The verdict for people."""
        broken = sum(not check.ok for check in self.checks)
        if self.skipped:
            return "skipped"
        if self.interrupted:
            return "interrupted"
        if broken:
            return f"{broken} of {len(self.checks)} promises broken"
        return "every promise kept" if self.checks else "nothing was checked"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "broker-away",
            "1",
            "the broker is down when tasks are to be queued",
            broker_away_while_tasks_wait,
        ),
        Scenario(
            "scheduler-without-broker",
            "1",
            "the broker is down when the scheduler starts",
            scheduler_started_while_broker_away,
        ),
        Scenario(
            "scheduler-lost",
            "1",
            "the scheduler dies while the broker is down",
            scheduler_lost_while_broker_away,
        ),
        Scenario(
            "broker-killed",
            "2",
            "the broker is killed while tasks run",
            broker_killed_while_tasks_run,
        ),
        Scenario(
            "broker-killed-again",
            "2",
            "the broker is killed several times in a row",
            broker_killed_again_and_again,
        ),
        Scenario("worker-killed", "3", "a worker is killed mid-task", worker_killed_mid_task),
        Scenario(
            "only-worker-killed",
            "3",
            "the only worker is killed mid-task",
            worker_killed_mid_task,
            {"workers": 1},
        ),
        Scenario(
            "supervisor-killed",
            "3",
            "a worker's supervisor is killed mid-task",
            worker_killed_mid_task,
            {"part": "/supervisor"},
        ),
        Scenario(
            "worker-killed-no-retry",
            "3",
            "a worker is killed under a task without retries",
            worker_killed_under_a_task_without_retries,
        ),
        Scenario(
            "long-task",
            "3",
            "a worker is killed under a task that outlives its message's lease",
            long_task,
        ),
        Scenario("task-killed", "4", "a task's process is killed", task_process_killed),
        Scenario(
            "task-out-of-memory",
            "4",
            "the kernel kills a task for want of memory",
            task_out_of_memory,
        ),
        Scenario("database-away", "5", "PostgreSQL is down while tasks run", database_away),
        Scenario("database-killed", "5", "PostgreSQL is killed while tasks run", database_killed),
        Scenario("workers-away", "6", "all workers are stopped while tasks wait", workers_away),
        Scenario(
            "partition",
            "7",
            "a worker is silently cut off from the broker",
            worker_cut_off_from_the_broker,
        ),
        Scenario(
            "connection-reset",
            "7",
            "a worker's connections to the broker are reset",
            worker_cut_off_from_the_broker,
            {"silent": False},
        ),
        Scenario(
            "partition-drain",
            "7",
            "a worker is told to stop while it is cut off",
            worker_drained_while_cut_off,
        ),
        Scenario(
            "everything-killed",
            "8",
            "every process of the stack is killed",
            everything_killed,
            asked_for=True,
        ),
        Scenario(
            "components-killed",
            "8",
            "each of the other components is killed",
            components_killed,
        ),
        Scenario(
            "disk-full",
            "9",
            "the disk of the state folder is full",
            disk_full,
            asked_for=True,
        ),
        Scenario("machine-asleep", "10", "the whole machine sleeps for a minute", machine_asleep),
        Scenario(
            "clock-jump",
            "10",
            "the clock jumps ten minutes forward",
            clock_jump,
            asked_for=True,
        ),
        Scenario("worker-stopped", "NFR-1", "a worker's process is stopped", worker_stopped),
        Scenario("worker-hung", "NFR-1", "a worker's main loop hangs", worker_hung),
        Scenario(
            "worker-not-consuming",
            "NFR-1",
            "a worker is connected and takes nothing",
            worker_not_consuming,
        ),
        Scenario(
            "rolling",
            "load",
            "all workers are restarted and scaled under load",
            rolling_restart_and_scaling,
        ),
        Scenario("soak", "all", "random faults under load", soak, asked_for=True),
    )
}


def play(
    scenario: Scenario, cluster: LocalStack, checks: Checks | None = None, **options: Any
) -> Outcome:
    """Run a scenario. An error that ends it early is recorded as a broken promise.

    Args:
        checks: gets each promise when it is looked at.
        options: parameters of the scenario that differ from its defaults.
    """
    checks, began = Checks() if checks is None else checks, time.monotonic()
    try:
        scenario.play(cluster, checks, **(scenario.options | options))
    except NotPossibleHere as reason:
        return Outcome(scenario, checks.made, time.monotonic() - began, skipped=str(reason))
    except (NeverCame, Away, WindtunnelError) as error:
        checks.add("the rehearsal can go on to its end", False, str(error))
    return Outcome(scenario, checks.made, time.monotonic() - began)
