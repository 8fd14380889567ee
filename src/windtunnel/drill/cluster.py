"""What a failure scenario may do to a deployment and see of it, whichever bed it lies in.

`Cluster` has the few verbs that every bed offers: process-compose, several hosts, NixOS machines. `LocalStack` adds what
can be seen only from the machine itself (processes, messages, reports).
"""

from __future__ import annotations

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

    `time` in Unix seconds. `start` of the process in clock ticks since boot: the pid alone may be another's by now.
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


@dataclass(frozen=True)
class Check:
    """One promise, what was seen, and whether the promise was kept."""

    promised: str
    seen: str
    ok: bool


@dataclass
class Checks:
    """The promises of one scenario, in the order in which they were looked at."""

    made: list[Check] = field(default_factory=list)

    def add(self, promised: str, ok: bool, seen: str) -> None:
        self.made.append(Check(promised, seen, bool(ok)))

    def within(self, promised: str, limit: float, seconds: float | None, patience: float) -> None:
        """A promise about time: kept when it took at most `limit` seconds. None: not seen at all within `patience`."""
        seen = f"after {seconds:.1f} s" if seconds is not None else f"not within {patience:.0f} s"
        self.add(f"{promised} within {limit:g} s", seconds is not None and seconds <= limit, seen)


class Away(Exception):
    """A component that was asked does not answer now; whoever waits for something goes on waiting."""


class NotPossibleHere(Exception):
    """This machine cannot play the scenario. The text is the reason."""


class Cluster(Protocol):
    """A deployment with a fault to come. Services are named as in process-compose.yaml, workers as their Celery nodes."""

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run, its side effects going to this cluster's `marks`; returns the run id. Raises `Away`."""

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Raises `Away` while Airflow's API or its database cannot answer."""

    def workers(self) -> set[str]:
        """Celery nodes that Flower calls online, without the host part. Raises `Away`."""

    def stop(self, service: str) -> None:
        """Orderly; returns when it has ended. It stays down until `start`."""

    def start(self, service: str) -> None:
        """Returns at once."""

    def kill(self, service: str, signal: int = SIGKILL) -> None:
        """A signal to the main process only; for a worker Celery's, for `NAME/supervisor` what process-compose started."""

    def scale(self, workers: int) -> None:
        """Returns when the count is reached, the surplus drained."""

    def partition(self, service: str, *, silent: bool = True) -> AbstractContextManager[None]:
        """Between a worker and the broker; `silent` swallows packets, otherwise connections are reset."""

    def marks(self) -> list[Mark]:
        """Every side effect since this object was made, oldest first."""


class LocalStack(Cluster, Protocol):
    """A cluster on this machine: its processes, its broker and its reports can be looked at as well."""

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
        """Put a process into a memory control group of its own, `limit` in bytes; False where this machine allows none."""

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

    def incident(self, worker: str, since: float) -> str | None:
        """What the worker's supervisor reported since that Unix time, None while nothing."""

    def process_state(self, service: str) -> str:
        """process-compose's view: `Ready`, `Not Ready`, or the status of a process that does not run."""

    def scheduler_age(self) -> float:
        """Seconds since the scheduler's last heartbeat. Raises `Away`."""

    def unhealthy(self, since: float = 0.0) -> list[str]:
        """Components that do not answer or whose heartbeat is old; with `since` (Unix time) those without one from after it."""

    def messages(self) -> dict[str, int]:
        """Task messages in the broker by queue, and those delivered but not acknowledged as `unacked`. Raises `Away`."""

    def token_life(self) -> float | None:
        """Seconds for which the tokens of the waiting task messages are still good, the shortest; None without messages."""

    def open_results(self) -> int:
        """Rows of Celery's result table that wait for an end: each holds a slot of the executor for ever."""

    def age_queued_tasks(self, seconds: float) -> int:
        """Move back the clocks that run against waiting tasks; returns how many tasks."""

    def log(self, run: Run, task_id: str, attempt: int = 1) -> str:
        """The log of one try as Airflow's API tells it. Raises `Away`."""

    def celery_control(self, command: str, worker: str, **arguments: Any) -> None:
        """A Celery remote-control command to one worker."""

    def lab_worker(self) -> AbstractContextManager[str]:
        """A worker of its own for faults that others shall not feel, its broker behind a proxy; yields its name."""

    def kill_everything(self, spare: Iterable[int] = ()) -> int:
        """SIGKILL to every process of the stack, process-compose first, but for some; returns how many."""

    def full_disk(self) -> AbstractContextManager[None]:
        """The file system of the state folder has no byte left. Raises `WindtunnelError` unless it is a small one of its own."""

    def sleep(self, seconds: float) -> None:
        """Every process of the stack stands still for so long, its supervisor included."""

    def jump_clock(self, seconds: float) -> None:
        """The wall clock of every process of the stack. Raises `WindtunnelError` where it is the machine's own."""

    def clocks(self) -> dict[str, float]:
        """Seconds by which the stack's parts are ahead of this process. Raises `Away`."""

    def bring_up(self) -> None:
        """What a person types after that: `process-compose up -D`."""
