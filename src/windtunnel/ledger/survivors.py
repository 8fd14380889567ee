"""Processes that a worker may not or cannot kill: another user's, or one that waits for dead storage.

They are named in supervisor.json, so that `status` shows them, and left alone from then on. Where the survivor may be a task
itself, that task is neither reported nor given back before the survivor has ended: a second copy must never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from windtunnel.system import procfs
from windtunnel.system.procfs import Process

#: What Airflow calls a task's process (task_runner.py, `startup`); the id of the task instance follows.
TITLE = "airflow worker -- "


def task_instance(pid: int) -> str:
    """Id of the task instance that the process runs or was forked by (without exec); empty for any other process."""
    text = procfs.command(pid)
    return text.removeprefix(TITLE).strip() if text.startswith(TITLE) else ""


class Survivors:
    """One entry a process: `pid`, `start`, `boot`, `text` for people, and `tasks`, the Celery ids that wait for its end."""

    def __init__(self, entries: Iterable[dict[str, Any]] = ()) -> None:
        self.entries = list(entries)

    @classmethod
    def written(cls, record: Mapping[str, Any]) -> Survivors:
        """Those in supervisor.json."""
        return cls(entry for entry in record.get("survivors") or () if isinstance(entry, dict) and entry.get("pid"))

    def _living(self) -> Iterator[dict[str, Any]]:
        return (e for e in self.entries if (p := procfs.find(e["pid"], e["start"], e["boot"])) and p.state not in "ZX")

    def refresh(self) -> bool:
        """Forgets those that have ended; whether there were any."""
        living = list(self._living())
        ended, self.entries = len(living) < len(self.entries), living
        return ended

    def pids(self) -> set[int]:
        return {entry["pid"] for entry in self._living()}

    def add(self, process: Process, tasks: Iterable[str] = ()) -> str:
        """Returns what it is called."""
        why = "it hangs in the kernel, as on dead storage" if process.state == "D" else "this worker may not kill it"
        text = f"pid {process.pid} ({procfs.name(process.pid)}, user {procfs.user(process.pid)}): {why}"
        self.entries.append({"pid": process.pid, "start": process.start, "boot": procfs.boot_id(), "text": text, "tasks": sorted(tasks)})
        return text

    def hold(self, task_id: str) -> bool:
        """Whether the task may still run in one of them."""
        return any(task_id in entry["tasks"] for entry in self._living())
