"""Processes that a worker cannot kill: another user's, or one that waits for dead storage.

supervisor.json lists them, so that `status` shows them, and no later fence tries again. If a
survivor may be a task itself, that task is neither reported nor given back while it lives. A second
copy must never run beside the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from windtunnel.system import procfs
from windtunnel.system.procfs import Process

#: Airflow's title for a task's process (task_runner.py, `startup`), before the task instance's id.
TITLE = "airflow worker -- "


def task_instance(pid: int) -> str:
    """Id of the task instance that runs in the process or forked it (without exec); else empty."""
    text = procfs.command(pid)
    return text.removeprefix(TITLE).strip() if text.startswith(TITLE) else ""


class Survivors:
    """One entry a process.

    Its keys are `pid`, `start`, `boot`, `text` for people, and `tasks`: the Celery ids of the
    tasks that wait for its end.
    """

    def __init__(self, entries: Iterable[dict[str, Any]] = ()) -> None:
        self.entries = list(entries)

    @classmethod
    def written(cls, record: Mapping[str, Any]) -> Survivors:
        """The survivors in supervisor.json."""
        entries = record.get("survivors") or ()
        return cls(entry for entry in entries if isinstance(entry, dict) and entry.get("pid"))

    def _living(self) -> Iterator[dict[str, Any]]:
        for entry in self.entries:
            process = procfs.find(entry["pid"], entry["start"], entry["boot"])
            if process is not None and process.state not in "ZX":
                yield entry

    def refresh(self) -> bool:
        """Removes the entries of processes that have ended; whether there were any."""
        living = list(self._living())
        some_ended = len(living) < len(self.entries)
        self.entries = living
        return some_ended

    def pids(self) -> set[int]:
        return {entry["pid"] for entry in self._living()}

    def add(self, process: Process, tasks: Iterable[str] = ()) -> str:
        """Adds a process. Returns its description for people."""
        why = "this worker may not kill it"
        if process.state == "D":
            why = "it hangs in the kernel, as on dead storage"
        program = procfs.name(process.pid)
        text = f"pid {process.pid} ({program}, user {procfs.user(process.pid)}): {why}"
        entry = {
            "pid": process.pid,
            "start": process.start,
            "boot": procfs.boot_id(),
            "text": text,
            "tasks": sorted(tasks),
        }
        self.entries.append(entry)
        return text

    def hold(self, task_id: str) -> bool:
        """Whether the task may still run in one of the survivors."""
        return any(task_id in entry["tasks"] for entry in self._living())
