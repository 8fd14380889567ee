"""The files of each worker, which its supervisor, the reconciler and `status` read at any time.

    run/workers/NAME/
        supervisor.json   the supervisor: its pid, the Celery it started, state, last incident
        health.json       Celery's main loop, every 2 s: connected, consuming, active
        tasks/ID.json     one per task in hand: since when, in which process, where its log is
        lost/ID.json      the same and `noted`, the time of the loss, for tasks that died with
                          their worker, until the broker has it
        skew/DIGEST.json  one per difference from the scheduler's host, until a task finds it gone
        ready             exists and is recent while the worker is healthy (process-compose's probe)

Standard library only: pool children write it for every task, and the supervisor must stay light.
Over 200 lines, because all access to these files is here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from windtunnel.system import disk, reserve

#: Environment variable of a Celery that takes no task before this moment of CLOCK_MONOTONIC.
SERVE_AT = "WINDTUNNEL_SERVE_AT"
#: A worker is healthy while its `ready` is younger. Its supervisor touches it every 4 s.
#: The probes in process-compose.yaml have the same number.
READY_SECONDS = 15.0
#: A file's time may be this much ahead of the clock, because the clock is slewed or steps a little.
AHEAD_SECONDS = 5.0


def fresh(path: Path, seconds: float, now: float) -> bool:
    """Whether the file was touched in the last `seconds`.

    False for a file that is missing, and for one from before the clock stepped back.

    Args:
        now: the time of day, by the clock of the process that touches the file.
    """
    try:
        age = now - path.stat().st_mtime
    except OSError:
        return False
    return -AHEAD_SECONDS < age < seconds


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Replaces the file in one step: a reader sees the old text or the new one, never half of it.

    On a full disk it uses blocks that are allocated already (system/reserve.py). Without its entry
    a task's helpers would count as leftovers, and its worker's death would be noticed minutes late.

    Raises:
        OSError: the file cannot be written. No half-written file is left.
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


#: The types of the fields that readers rely on. A file with a value of another type is broken.
KINDS: dict[str, type | tuple[type, ...]] = {
    "pid": int,
    "start": int,
    "celery_pid": int,
    "celery_start": int,
    "sid": int,
    "restarts": int,
    "generation": int,
    "boot": str,
    "state": str,
    "started": (int, float),
    "received": (int, float),
    "noted": (int, float),
    "since": (int, float),
    "time": (int, float),
    "queues": list,
    "last_incident": (dict, type(None)),
}


def read(path: Path) -> dict[str, Any]:
    """The file's content; empty if it is missing or broken.

    A file can be broken because the machine lost power while it was written.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    for key, kind in KINDS.items():
        if key in data and not isinstance(data[key], kind):
            return {}
    return data


class WorkerFiles:
    """The folder of one worker."""

    def __init__(self, run: Path, name: str) -> None:
        self.name = name
        self.run = run
        self.folder = run / "workers" / name
        self.supervisor = self.folder / "supervisor.json"
        self.health = self.folder / "health.json"
        self.ready = self.folder / "ready"
        self.stopping = self.folder / "stopping"
        self.tasks = self.folder / "tasks"
        self.lost = self.folder / "lost"
        self.skew = self.folder / "skew"
        self.lock = self.folder / "lock"
        self.temporary = self.folder / "temporary"

    @classmethod
    def of_this_process(cls) -> WorkerFiles | None:
        """Inside a worker's tree: its folder. Elsewhere None."""
        name = os.environ.get("WINDTUNNEL_WORKER")
        state = os.environ.get("WINDTUNNEL_STATE")
        return cls(Path(state) / "run", name) if name and state else None

    def create(self) -> None:
        for folder in (self.tasks, self.lost, self.skew):
            folder.mkdir(parents=True, exist_ok=True)

    def is_ready(self, now: float) -> bool:
        """Whether the worker was healthy within the last `READY_SECONDS`."""
        return fresh(self.ready, READY_SECONDS, now)

    def task(self, task_id: str) -> Path:
        return self.tasks / f"{task_id}.json"

    def in_hand(self) -> dict[str, dict[str, Any]]:
        """Tasks by Celery id, as last written."""
        return _entries(self.tasks)

    def given_up(self) -> dict[str, dict[str, Any]]:
        """Tasks by Celery id whose processes were killed, and which are not reported yet."""
        return _entries(self.lost)

    def note_skew(self, subject: str, difference: str | None) -> bool:
        """Records how a subject differs from the scheduler's; None removes the record.

        Returns:
            Whether the difference is new.
        """
        digest = hashlib.sha256(subject.encode()).hexdigest()[:16]
        path = self.skew / f"{digest}.json"
        if difference is None:
            path.unlink(missing_ok=True)
            return False
        if read(path).get("text") == difference:
            return False
        write(path, {"text": difference})
        return True

    def skewed(self) -> list[str]:
        """The differences from the scheduler's host that the last tasks found."""
        return sorted(str(entry.get("text")) for entry in _entries(self.skew).values() if entry)

    def forget_skew(self) -> None:
        for name in _entries(self.skew):
            (self.skew / f"{name}.json").unlink(missing_ok=True)

    # A message can be delivered again while its task runs. Airflow refuses the second copy, but
    # that copy calls these methods too. So an entry belongs to the process that runs the task, and
    # no other process replaces or removes it.

    def receive(self, task_id: str, entry: Mapping[str, Any]) -> None:
        """A message arrived. An entry of an earlier delivery stays as it is."""
        with self._locked():
            if not self.task(task_id).exists():
                write(self.task(task_id), entry)

    def claim(self, task_id: str, entry: Mapping[str, Any]) -> bool:
        """Records that the process that `entry` names (`pid`, `start`) runs the task.

        Returns:
            False if another process has claimed the task.
        """
        with self._locked():
            if not _owned(read(self.task(task_id)), entry):
                return False
            write(self.task(task_id), entry)
            return True

    def release(self, task_id: str, pid: int, start: int) -> None:
        """That process has finished the task. An entry that another process has claimed stays."""
        with self._locked():
            if _owned(read(self.task(task_id)), {"pid": pid, "start": start}):
                self.task(task_id).unlink(missing_ok=True)

    def give_up(self, task_id: str) -> None:
        """The task's processes are dead: its entry waits in `lost`, with the time of the loss.

        The report may be sent minutes later. By then another delivery of the message may run.

        Raises:
            OSError: the entry is missing, or cannot be moved.
        """
        path = self.task(task_id)
        with self._locked():
            entry = read(path)
            if entry:
                # A full disk refuses the time. The entry is moved without it.
                with contextlib.suppress(OSError):
                    write(path, {**entry, "noted": time.time()})
            path.replace(self.lost / path.name)

    def forget_unclaimed(self, task_id: str) -> None:
        """Removes an entry that no process has claimed."""
        with self._locked():
            if not read(self.task(task_id)).get("pid"):
                self.task(task_id).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one of the main process and the pool children changes entries at a time."""
        folder = os.open(self.tasks, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _owned(entry: Mapping[str, Any], process: Mapping[str, Any]) -> bool:
    """Whether no process has claimed the entry, or this very process has."""
    if not entry.get("pid"):
        return True
    same_pid = entry["pid"] == process["pid"]
    return bool(same_pid and entry.get("start") == process["start"])


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return {}
    entries: dict[str, dict[str, Any]] = {}
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            entries[name.removesuffix(".json")] = read(folder / name)
    return entries


def number(entry: Mapping[str, Any], key: str) -> int:
    """A field that should hold a whole number; 0 if it does not."""
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def all_workers(run: Path) -> list[WorkerFiles]:
    """Every worker that ever ran with this state folder."""
    try:
        return [WorkerFiles(run, folder.name) for folder in sorted((run / "workers").iterdir())]
    except OSError:
        return []


def identity(task_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The task as fields of an event: its Celery id as `task`, and Airflow's ids if known."""
    names = ("dag_id", "task_id", "run_id", "map_index", "try_number", "callback")
    known = {name: entry[name] for name in names if entry.get(name) is not None}
    return {"task": task_id, **known}


def describe(task_id: str, entry: Mapping[str, Any]) -> str:
    """The task in words for a log line.

    `hello.greet (run manual__..., try 1)`, `callback deadlines.tell (ID)`, or the Celery id if no
    more is known.
    """
    if entry.get("callback"):
        return f"callback {entry.get('path') or ''} ({entry['callback']})"
    if not entry.get("task_id"):
        return f"Celery task {task_id}"
    map_index = entry.get("map_index", -1)
    index = "" if map_index in (-1, None) else f"[{map_index}]"
    attempt = f"run {entry.get('run_id')}, try {entry.get('try_number')}"
    return f"{entry.get('dag_id')}.{entry['task_id']}{index} ({attempt})"
