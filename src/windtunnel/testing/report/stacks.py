"""The Python stacks of processes that hang, by py-spy where it is there. It is no dependency."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.ledger import ledger
from windtunnel.settings import Settings
from windtunnel.system import procfs

#: Of one process, and of all.
DUMP_SECONDS = 10.0
ALL_SECONDS = 40.0
MOST = 24
MISSING = (
    "no stacks of hanging processes: py-spy is neither on PATH nor in the environment "
    "(uv pip install py-spy)"
)
#: Processes that decide whether a run goes on.
DECIDING = ("scheduler", "triggerer")


def program() -> str | None:
    """py-spy on PATH, or beside the Python that runs the tests."""
    beside = Path(sys.executable).with_name("py-spy")
    return shutil.which("py-spy") or (str(beside) if beside.is_file() else None)


def targets(settings: Settings, status: Mapping[str, Any], waiting: bool) -> dict[int, str]:
    """Pid -> what it is, of the Python processes to look at.

    Args:
        waiting: a run that the test started has not ended. Then its tasks and the processes that
            decide about it count too.
    """
    rows = status.get("processes") or []
    wanted = [row for row in rows if row["pid"] and not row["well"]]
    if waiting:
        wanted += [row for row in rows if row["pid"] and row["name"] in DECIDING]
    found: dict[int, str] = {}
    if waiting:
        for worker in ledger.all_workers(settings.run):
            for entry in worker.in_hand().values():
                _add(found, entry.get("pid"), f"{worker.name}, task {entry.get('task_id', '?')}")
    for row in wanted:
        _add(found, row["pid"], str(row["name"]))
    return dict(list(found.items())[:MOST])


def _add(found: dict[int, str], pid: object, what: str) -> None:
    if isinstance(pid, int) and procfs.read(pid):
        for each in procfs.tree(pid):
            if _is_python(each):
                found.setdefault(each, what)


def _is_python(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.startswith("python")
    except OSError:
        return False


def dump(command: str, pids: Mapping[int, str]) -> str:
    """The stacks as one text. A process that cannot be looked at has the reason in its place."""
    end = time.monotonic() + ALL_SECONDS
    parts: list[str] = []
    for pid, what in pids.items():
        if time.monotonic() > end:
            parts.append(f"the rest is left out after {ALL_SECONDS:.0f} s\n")
            break
        parts.append(f"== {what} (pid {pid}) ==\n{_dump(command, pid)}\n")
    return "\n".join(parts)


def _dump(command: str, pid: int) -> str:
    try:
        done = subprocess.run(
            [command, "dump", "--pid", str(pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DUMP_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"py-spy had no answer after {DUMP_SECONDS:.0f} s\n"
    except OSError as error:
        return f"py-spy cannot be run ({error.strerror})\n"
    # Where it may not look, it adds its own stack.
    why = done.stderr.partition("Stack backtrace")[0].strip()
    return done.stdout if done.returncode == 0 else f"py-spy failed: {why}\n"
