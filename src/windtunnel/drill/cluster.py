"""The operations that a failure scenario may use on a deployment.

`Cluster` has the operations of every deployment: process-compose, several hosts, NixOS machines.
`LocalStack` adds facts of the machine itself: processes, messages, reports.
Over 200 lines, because every operation has its promise here, for all deployments.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Any, Protocol


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run as Airflow records it. Times in Unix seconds, None while not reached."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    hostname: str
    queued: float | None
    started: float | None
    ended: float | None


@dataclass(frozen=True)
class Mark:
    """A side effect: one line that a task wrote outside Airflow (`windtunnel.dag_helpers.mark`).

    `time` in Unix seconds. `start` of the process in clock ticks since boot.
    The pid alone may be another's by now.
    """

    event: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    attempt: int
    pid: int
    worker: str
    time: float
    start: int = 0

    @property
    def task(self) -> tuple[str, str, str, int]:
        """Names the task over all its tries."""
        return self.dag_id, self.run_id, self.task_id, self.map_index


@dataclass(frozen=True)
class Run:
    """A DAG run that a scenario started."""

    dag_id: str
    run_id: str


class Took(float):
    """Seconds that something took, and the Unix time from which they count."""

    since: float

    def __new__(cls, seconds: float, since: float) -> Took:
        self = super().__new__(cls, seconds)
        self.since = since
        return self


@dataclass(frozen=True)
class Limit:
    """The time that a promise allows, for a picture of it.

    `seconds`, `seen` and `patience` count from `since`, in Unix seconds. `seen` is None where it
    was not seen within `patience`.
    """

    seconds: float
    since: float
    seen: float | None
    patience: float


@dataclass(frozen=True)
class Check:
    """One promise, what was seen, and whether the promise was kept."""

    promised: str
    seen: str
    ok: bool
    limit: Limit | None = None


@dataclass
class Checks:
    """The promises of one scenario, in the order in which they were looked at."""

    made: list[Check] = field(default_factory=list)

    def add(self, promised: str, ok: bool, seen: str) -> None:
        self.made.append(Check(promised, seen, bool(ok)))

    def within(
        self,
        promised: str,
        limit: float,
        seconds: float | None,
        patience: float,
        where: str = "",
    ) -> None:
        """Add a promise about time, kept when it took at most `limit` seconds.

        Args:
            seconds: None where it was not seen within `patience`.
            where: what else was seen.
        """
        seen = f"after {seconds:.1f} s" if seconds is not None else f"not within {patience:.0f} s"
        # A wait that ended without success began about so long ago.
        since = seconds.since if isinstance(seconds, Took) else time.time() - patience
        self.made.append(
            Check(
                f"{promised} within {limit:g} s",
                f"{seen} ({where})" if where else seen,
                seconds is not None and seconds <= limit,
                Limit(limit, since, seconds, patience),
            )
        )


class Away(Exception):
    """A component does not answer now. A wait goes on despite it."""


class NotPossibleHere(Exception):
    """This machine cannot play the scenario. The text is the reason."""


class Cluster(Protocol):
    """A deployment on which a scenario causes a fault.

    Services are named as in process-compose.yaml, workers as their Celery nodes.
    """

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run whose side effects go to `marks`; returns the run id. Raises `Away`."""

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Raises `Away` while Airflow's API or its database cannot answer."""

    def workers(self) -> set[str]:
        """Celery nodes that Flower calls online, without the host part. Raises `Away`."""

    def stop(self, service: str) -> None:
        """Orderly; returns when it has ended. It stays down until `start`."""

    def start(self, service: str) -> None:
        """Returns at once."""

    def kill(self, service: str, signal: int = SIGKILL) -> None:
        """Send a signal to the main process only.

        For a worker it is Celery's main process, for `NAME/supervisor` its supervisor.
        """

    def scale(self, workers: int) -> None:
        """Returns when the count is reached, the surplus drained."""

    def partition(self, service: str, *, silent: bool = True) -> AbstractContextManager[None]:
        """Cut a worker off from the broker: `silent` drops packets, else connections are reset."""

    def marks(self) -> list[Mark]:
        """Every side effect since this object was made, oldest first."""


class LocalStack(Cluster, Protocol):
    """A cluster on this machine: its processes, broker and reports can be read too."""

    #: The name of the broker's service.
    broker: str
    #: Task slots of one worker.
    slots: int
    #: Airflow's `parallelism`: the most tasks that are queued or running at once.
    parallelism: int

    def up(self, service: str) -> bool:
        """Whether the service answers a client now: PING, SELECT, HTTP."""

    def main_pid(self, service: str) -> int | None:
        """Process id of what `kill` would hit, None where there is none."""

    def open_files(self, service: str) -> int:
        """File descriptors of the main process."""

    def kill_process(self, mark: Mark) -> None:
        """SIGKILL to the process that wrote a mark."""

    def cage(self, pid: int, limit: int) -> bool:
        """Put a process into a memory control group of its own, `limit` in bytes.

        Returns False where this machine allows none.
        """

    def oom_kills(self) -> int:
        """Processes that the kernel killed in those groups so far."""

    def alive(self, marks: Iterable[Mark]) -> set[int]:
        """Pids of those that wrote a mark and still run."""

    def in_hand(self, worker: str) -> int:
        """Tasks that the worker has written down as its own."""

    def deliveries(self) -> int:
        """Messages that the workers' present Celery processes have received."""

    def problems(self) -> list[str]:
        """What `windtunnel status` says is wrong, a line each."""

    def incident(self, worker: str, since: float, event: str = "") -> str | None:
        """The first warning of the worker's supervisor since that Unix time; None without one.

        With `event`: the first event of that name.
        """

    def process_state(self, service: str) -> str:
        """`Ready`, `Not Ready`, or process-compose's status of a process that does not run."""

    def scheduler_age(self) -> float:
        """Seconds since the scheduler's last heartbeat. Raises `Away`."""

    def unhealthy(self, since: float = 0.0) -> list[str]:
        """Components that do not answer or whose heartbeat is old.

        With `since` (Unix time): also those without a heartbeat after it.
        """

    def messages(self) -> dict[str, int]:
        """Task messages by queue; delivered but unacknowledged ones as `unacked`. Raises `Away`."""

    def token_life(self) -> float | None:
        """Shortest remaining life of the waiting messages' tokens, in seconds; None without any."""

    def open_results(self) -> int:
        """Unfinished rows of Celery's result table. Each holds a slot of the executor."""

    def age_queued_tasks(self, seconds: float) -> int:
        """Move back the clocks that run against waiting tasks; returns how many tasks."""

    def log(self, run: Run, task_id: str, attempt: int = 1) -> str:
        """The log of one try from Airflow's API. Raises `Away`."""

    def celery_control(self, command: str, worker: str, **arguments: Any) -> None:
        """A Celery remote-control command to one worker."""

    def lab_worker(self) -> AbstractContextManager[str]:
        """A separate worker behind a proxy, for faults that must not reach others.

        Yields its name.
        """

    def kill_everything(self, spare: Iterable[int] = ()) -> int:
        """SIGKILL to every process but the spared, process-compose first; returns how many."""

    def full_disk(self) -> AbstractContextManager[None]:
        """Fill the file system of the state folder to the last byte.

        Raises `WindtunnelError` unless it is a small one of its own.
        """

    def sleep(self, seconds: float) -> None:
        """Every process of the stack stands still for so long, its supervisor included."""

    def jump_clock(self, seconds: float) -> None:
        """Move the wall clock of every process of the stack.

        Raises `WindtunnelError` where it is the clock of the machine.
        """

    def clocks(self) -> dict[str, float]:
        """Seconds by which the stack's parts are ahead of this process. Raises `Away`."""

    def bring_up(self) -> None:
        """What a person types after that: `process-compose up -D`."""
