"""The tasks that a stop waits for: their worker, their age, and the latest end of the wait."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from windtunnel.ledger import ledger
from windtunnel.settings import Settings
from windtunnel.system import procfs

SHOWN = 5
#: The state of a worker that was told to stop, in its supervisor's record.
DRAINING = "draining"


@dataclass(frozen=True)
class Held:
    """One task in hand.

    `seconds` is the time that it has run, None before its start. `until` is the end of the wait,
    in seconds since the epoch.
    """

    key: str
    worker: str
    task: str
    seconds: float | None
    until: float

    def __str__(self) -> str:
        ran = "not begun" if self.seconds is None else f"running for {self.seconds:.0f} s"
        return f"{self.task} on {self.worker}, {ran}"


@dataclass(frozen=True)
class Worker:
    """A living supervisor's record, and the tasks that its worker has in hand.

    `until` is the latest end of a drain, in seconds since the epoch: of the one that runs, else of
    one that would begin now.
    """

    name: str
    record: Mapping[str, Any]
    tasks: list[Held]
    until: float

    def is_(self, which: str) -> tuple[int, int]:
        """(pid, start) of `supervisor` or `celery`."""
        prefix = "celery_" if which == "celery" else ""
        pid, start = f"{prefix}pid", f"{prefix}start"
        return ledger.number(self.record, pid), ledger.number(self.record, start)

    @property
    def drain(self) -> str | None:
        """How a worker that drains goes on, such as `draining, 2 tasks in hand, until 12:30:00`."""
        if self.record.get("state") != DRAINING:
            return None
        tasks = "1 task" if len(self.tasks) == 1 else f"{len(self.tasks)} tasks"
        until = time.strftime("%H:%M:%S", time.localtime(self.until))
        return f"{DRAINING}, {tasks} in hand, until {until}"

    def alive(self, which: str) -> bool:
        return self.record.get("boot") == procfs.boot_id() and procfs.alive(*self.is_(which))


def workers(settings: Settings) -> Iterator[Worker]:
    """The workers of this machine with a living supervisor, by the files that they write."""
    now = time.time()
    for files in ledger.all_workers(settings.run):
        record = ledger.read(files.supervisor)
        draining = record.get("since") if record.get("state") == DRAINING else None
        until = (draining if isinstance(draining, float) else now) + settings.worker_drain_seconds
        tasks = []
        for key, entry in files.in_hand().items():
            started = entry.get("started")
            seconds = now - started if isinstance(started, float) else None
            tasks.append(Held(key, files.name, ledger.describe(key, entry), seconds, until))
        worker = Worker(files.name, record, tasks, until)
        if worker.alive("supervisor"):
            yield worker


def drains(settings: Settings) -> dict[str, str]:
    """The workers that drain, by name, each with `Worker.drain`."""
    return {worker.name: worker.drain for worker in workers(settings) if worker.drain}


def tasks(settings: Settings) -> list[Held]:
    """All tasks in hand, the longest running first."""
    found = [task for worker in workers(settings) for task in worker.tasks]
    return sorted(found, key=lambda task: task.seconds or 0.0, reverse=True)


def listing(found: list[Held]) -> str:
    """The first tasks by name, and the number of the others."""
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join([*map(str, found[:SHOWN]), *more])
