"""What a worker writes down, so that its supervisor, the reconciler and `status` know without asking it.

    run/workers/NAME/supervisor.json   the supervisor: who it is, which Celery it started, state, last incident
                     health.json       Celery's main loop, every 2 s: connected, consuming, active
                     tasks/ID.json     one per task in hand: since when, in which process, where its log is
                     lost/ID.json      the same, of tasks that died with their worker, until the broker has the news
                     skew/DIGEST.json  one per difference from the scheduler's host, until a task finds it gone
                     ready             exists and is fresh while the worker is healthy (process-compose's probe)

Standard library only: pool children write it for every task and the supervisor must stay light.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from windtunnel.system import disk, reserve


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Replaces the file in one step: a reader sees the old text or the new one, never half of it.

    On a full disk it takes what is allocated already (system/reserve.py): without its entry a task's helpers count as left over,
    and the death of its worker is noticed minutes later.

    Raises:
        OSError: it cannot be written, and nothing half written is left.
    """
    text = json.dumps(data)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in disk.NO_ROOM or not reserve.write(path, text):
            raise


#: The kinds of the fields that readers count with. A file that holds another kind is as good as broken.
KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("pid", "start", "celery_pid", "celery_start", "sid", "restarts", "generation"), int),
    **dict.fromkeys(("boot", "state"), str),
    **dict.fromkeys(("started", "received", "since", "time"), (int, float)),
    "queues": list,
    "last_incident": (dict, type(None)),
}


def read(path: Path) -> dict[str, Any]:
    """The file's content; empty where it is missing or broken (the machine may have died while it was written)."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or not all(isinstance(data[key], KINDS[key]) for key in data.keys() & KINDS.keys()):
        return {}
    return data


class WorkerFiles:
    """The folder of one worker."""

    def __init__(self, run: Path, name: str) -> None:
        self.name = name
        self.folder = run / "workers" / name
        self.supervisor = self.folder / "supervisor.json"
        self.health = self.folder / "health.json"
        self.ready = self.folder / "ready"
        self.stopping = self.folder / "stopping"
        self.tasks = self.folder / "tasks"
        self.lost = self.folder / "lost"
        self.skew = self.folder / "skew"
        self.lock = self.folder / "lock"

    @classmethod
    def of_this_process(cls) -> WorkerFiles | None:
        """Inside a worker's tree: its folder. Elsewhere None."""
        name, state = os.environ.get("WINDTUNNEL_WORKER"), os.environ.get("WINDTUNNEL_STATE")
        return cls(Path(state) / "run", name) if name and state else None

    def create(self) -> None:
        for folder in (self.tasks, self.lost, self.skew):
            folder.mkdir(parents=True, exist_ok=True)

    def task(self, task_id: str) -> Path:
        return self.tasks / f"{task_id}.json"

    def in_hand(self) -> dict[str, dict[str, Any]]:
        """Tasks by Celery id, as last written."""
        return _entries(self.tasks)

    def given_up(self) -> dict[str, dict[str, Any]]:
        """Tasks whose processes were ended and that wait to be reported."""
        return _entries(self.lost)

    def note_skew(self, subject: str, difference: str | None) -> bool:
        """Writes down how a subject differs from the scheduler's, or that it does not; whether that is news of a difference."""
        path = self.skew / f"{hashlib.sha256(subject.encode()).hexdigest()[:16]}.json"
        if difference is None:
            path.unlink(missing_ok=True)
            return False
        if read(path).get("text") == difference:
            return False
        write(path, {"text": difference})
        return True

    def skewed(self) -> list[str]:
        """In what this worker differs from the scheduler's host, as its last tasks found."""
        return sorted(str(entry.get("text")) for entry in _entries(self.skew).values() if entry)

    def forget_skew(self) -> None:
        for name in _entries(self.skew):
            (self.skew / f"{name}.json").unlink(missing_ok=True)

    # A message can be delivered again while its task runs. Airflow refuses that copy, but the copy passes by here as well:
    # so an entry belongs to the process that runs the task, and nothing else replaces or removes it.

    def receive(self, task_id: str, entry: Mapping[str, Any]) -> None:
        """A message arrived. The entry of a delivery that is already here stays as it is."""
        with self._locked():
            if not self.task(task_id).exists():
                write(self.task(task_id), entry)

    def claim(self, task_id: str, entry: Mapping[str, Any]) -> bool:
        """The process that `entry` names (`pid`, `start`) runs the task; False where another process has claimed it."""
        with self._locked():
            if not _owned(read(self.task(task_id)), entry):
                return False
            write(self.task(task_id), entry)
            return True

    def release(self, task_id: str, pid: int, start: int) -> None:
        """That process has done with the task. An entry that another process has claimed stays."""
        with self._locked():
            if _owned(read(self.task(task_id)), {"pid": pid, "start": start}):
                self.task(task_id).unlink(missing_ok=True)

    def forget_unclaimed(self, task_id: str) -> None:
        """Drops an entry that no process has claimed."""
        with self._locked():
            if not read(self.task(task_id)).get("pid"):
                self.task(task_id).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The main process and the pool children take turns."""
        folder = os.open(self.tasks, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _owned(entry: Mapping[str, Any], process: Mapping[str, Any]) -> bool:
    """Whether nobody has claimed the entry, or this very process has."""
    return not entry.get("pid") or (entry["pid"], entry.get("start")) == (process["pid"], process["start"])


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return {}
    return {n[:-5]: read(folder / n) for n in names if n.endswith(".json") and not n.startswith(".")}


def number(entry: Mapping[str, Any], key: str) -> int:
    """A field that should hold a whole number; 0 where it does not."""
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def all_workers(run: Path) -> list[WorkerFiles]:
    """Every worker that ever ran with this state folder."""
    try:
        return [WorkerFiles(run, folder.name) for folder in sorted((run / "workers").iterdir())]
    except OSError:
        return []


def describe(task_id: str, entry: Mapping[str, Any]) -> str:
    """`hello.greet (run manual__..., try 1)`, `callback deadlines.tell (ID)`, or the Celery id where no more is known."""
    if entry.get("callback"):
        return f"callback {entry.get('path') or ''} ({entry['callback']})"
    if not entry.get("task_id"):
        return f"Celery task {task_id}"
    index = f"[{entry['map_index']}]" if entry.get("map_index", -1) not in (-1, None) else ""
    return f"{entry.get('dag_id')}.{entry['task_id']}{index} (run {entry.get('run_id')}, try {entry.get('try_number')})"
