"""The request of `windtunnel debug`: one try of one task waits for a debugger.

    run/debug/
        request.json     written by the command; every worker looks for it before a task
        taken-PID.json   the same, renamed by the worker that begins the task, so that it counts
                         once; `state` and `why` say how far the task is. PID: the command's

Both have mode 0600. A request counts only while the command that wrote it lives.
Standard library only: pool children read it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.system import procfs

#: States of the task: it waits, a debugger is attached, nobody came.
LISTENING, ATTACHED, OVER = "listening", "attached", "over"


@dataclass(frozen=True)
class Request:
    dag_id: str
    run_id: str
    task_id: str
    #: None for whichever of a mapped task begins first.
    map_index: int | None
    try_number: int
    port: int
    #: How long the task waits.
    seconds: float
    #: The folder that has debugpy.
    package: str
    #: The command that waits, and when it started in clock ticks since boot.
    pid: int
    start: int

    def names(self, task: Mapping[str, Any]) -> bool:
        """Whether this is the task instance of an Airflow workload."""
        exact = ("dag_id", "run_id", "task_id", "try_number")
        mapped = self.map_index is None or self.map_index == task.get("map_index", -1)
        return mapped and all(task.get(name) == getattr(self, name) for name in exact)

    def is_wanted(self) -> bool:
        """Whether the command still waits."""
        return procfs.alive(self.pid, self.start)


def folder(run: Path) -> Path:
    return run / "debug"


def _waiting(run: Path) -> Path:
    return folder(run) / "request.json"


def taken_by(run: Path, pid: int) -> Path:
    """The request of a command after a worker has taken it."""
    return folder(run) / f"taken-{pid}.json"


def read(path: Path) -> Request | None:
    """The request in a file; None if it is missing or broken."""
    data = ledger.read(path)
    try:
        return Request(**{name: data[name] for name in Request.__dataclass_fields__})
    except (KeyError, TypeError):
        return None


@contextlib.contextmanager
def offered(run: Path, request: Request) -> Iterator[Path]:
    """Offers the request to the workers, and withdraws it at the end.

    Yields:
        The file that tells how far the task is, once a worker has taken the request.

    Raises:
        WindtunnelError: another command waits for its task to begin.
    """
    folder(run).mkdir(mode=0o700, exist_ok=True)
    _sweep(run)
    other = read(_waiting(run))
    new = folder(run) / f".new-{request.pid}"
    ledger.write(new, asdict(request))
    new.chmod(0o600)
    taken = taken_by(run, request.pid)
    try:
        # One step, and it fails where a file is.
        _waiting(run).hardlink_to(new)
    except FileExistsError:
        who = f" (pid {other.pid})" if other else ""
        step = "wait until its task has begun, or end it"
        raise WindtunnelError(f"another `windtunnel debug`{who} waits: {step}") from None
    finally:
        new.unlink()
    try:
        yield taken
    finally:
        mine = read(_waiting(run))
        if mine is not None and mine.pid == request.pid:
            _waiting(run).unlink(missing_ok=True)
        taken.unlink(missing_ok=True)


def _sweep(run: Path) -> None:
    """Deletes what killed commands left."""
    for path in folder(run).glob("*.json"):
        left = read(path)
        if left is None or not left.is_wanted():
            path.unlink(missing_ok=True)


def take(run: Path, task: Mapping[str, Any]) -> Request | None:
    """The request for this task instance, which then is used up; None for any other.

    It costs one stat where nobody debugs.
    """
    path = _waiting(run)
    try:
        os.stat(path)  # noqa: PTH116  (a tenth of the time of Path.exists)
    except OSError:
        return None
    request = read(path)
    if request is None or not request.names(task) or not request.is_wanted():
        return None
    try:
        path.rename(taken_by(run, request.pid))
    except OSError:
        return None
    return request


def tell(taken: Path, state: str, why: str = "") -> None:
    """Tells the command how far the task is, as long as it waits."""
    data = ledger.read(taken)
    if data:
        with contextlib.suppress(OSError):
            ledger.write(taken, data | {"state": state, "why": why})
            taken.chmod(0o600)
