"""Shared by the example DAGs: work of a known length, and a record of it outside Airflow.

A mark is one line of JSON in a file that the run names (parameter `marks`).
The failure scenarios count marks to see what really ran, how often and where, whatever Airflow's
own tables say about it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import get_current_context

from windtunnel.system import procfs


def worker() -> str:
    """The worker that runs this task: its name on a local stack, else the machine's name."""
    # A worker of the stack with Airflow's own settings has only process-compose's number.
    number = os.environ.get("PC_REPLICA_NUM", "")
    if os.environ.get("PC_PROC_NAME", "").startswith("airflow-worker") and number:
        return os.environ.get("WINDTUNNEL_WORKER") or f"worker-{number}"
    return os.environ.get("WINDTUNNEL_WORKER") or socket.gethostname()


#: The task's own process: children that it forks give their signs of life in its name.
_copy = 0


def started(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 where that cannot be read.

    With its pid this names a process for good.
    """
    found = procfs.read(pid)
    return found.start if found else 0


def mark(event: str, pid: int = 0) -> None:
    """Append one line about the running task to the file that its parameter `marks` names.

    Args:
        pid: whom the line is about; the task's own process where it is not said.

    One `write` with O_APPEND: lines of tasks that run side by side never mix.
    A killed task leaves no half line.
    """
    path = _path()
    if not path:
        return
    line = _line(event, pid or _copy or os.getpid())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except FileNotFoundError:
        # The folder is gone: whoever wanted marks has stopped looking (an interrupted drill).
        return
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def _path() -> str:
    context: Any = get_current_context()
    return str(context["params"].get("marks") or "")


def _line(event: str, pid: int) -> dict[str, Any]:
    context: Any = get_current_context()
    ti = context["ti"]
    return {
        "event": event,
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "try": ti.try_number,
        "pid": pid,
        "start": started(pid),
        "worker": worker(),
        "time": time.time(),
    }


#: Its arguments: the file, and the line of which it replaces what names the process and the moment.
_HELPER = """
import json, os, sys, time
from windtunnel.system import procfs
line = json.loads(sys.argv[2]) | {"pid": os.getpid(), "start": procfs.read(os.getpid()).start}
while os.path.isdir(os.path.dirname(sys.argv[1])):
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps(line | {"time": time.time()}) + "\\n")
    time.sleep(1)
"""


def detach_helper() -> None:
    """Start a process in a session of its own, which marks `helper` each second."""
    if path := _path():
        command = [sys.executable, "-c", _HELPER, path, json.dumps(_line("helper", os.getpid()))]
        subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


@contextmanager
def marked() -> Iterator[None]:
    """Mark the start of the block, and its end unless it fails."""
    global _copy
    _copy = os.getpid()
    mark("start")
    yield
    mark("end")


def spend(seconds: float, *, pulse: bool = False) -> None:
    """Take `seconds` of wall-clock time in small steps.

    So a signal or a pause never makes it longer.
    With `pulse` a mark each second says that this copy of the task still lives.
    If the copy is lost, the last mark tells how long it went on.
    A copy that outlives its worker gives itself away.
    """
    deadline = time.monotonic() + seconds
    next_pulse = time.monotonic() + 1
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
        if pulse and time.monotonic() >= next_pulse:
            next_pulse = time.monotonic() + 1
            mark("pulse")


def _spend_as_helper(seconds: float) -> None:
    mark("helper", os.getpid())
    spend(seconds, pulse=True)


def spend_in_fork(seconds: float, megabytes: float = 0) -> None:
    """Spend the time in a child made by `os.fork`, which gives the pulses."""
    child = os.fork()
    if not child:
        try:
            _spend_as_helper(seconds)
        finally:
            os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the forked child ended badly")


def spend_in_pool(seconds: float, megabytes: float = 0) -> None:
    """Spend the time in a forked process of `multiprocessing`, as a library would."""
    # Celery's pool process is a daemon, which may have no children: libraries reset the flag.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    process = multiprocessing.get_context("fork").Process(target=_spend_as_helper, args=(seconds,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the process of multiprocessing ended with {process.exitcode}")


def spend_printing(seconds: float, megabytes: float) -> None:
    """Print so many megabytes in lines of 1 KB, spread over the time."""
    steps = max(int(seconds * 2), 1)
    for _ in range(steps):
        for _ in range(max(int(megabytes * 1024 / steps), 1)):
            print("x" * 1023)
        spend(seconds / steps)
        mark("pulse")


#: What real tasks do that short ones do not: each spends `seconds`, and prints `megabytes` where
#: printing is its matter.
REAL = {"forks": spend_in_fork, "uses multiprocessing": spend_in_pool, "prints": spend_printing}


#: A shell function `mark EVENT` for a BashOperator: the same line as `mark()`, given MARKS in its
#: environment.
BASH_MARK = r"""
mark() {
  [ -n "$MARKS" ] || return 0
  local now=${EPOCHREALTIME:-$(date +%s)} task run stat=0
  [ ! -r "/proc/$$/stat" ] || read -r stat <"/proc/$$/stat"
  set -- "$1" ${stat##*) }
  printf -v task '"dag_id": "%s", "run_id": "%s", "task_id": "%s", "map_index": -1, "try": %d' \
    "$AIRFLOW_CTX_DAG_ID" "$AIRFLOW_CTX_DAG_RUN_ID" "$AIRFLOW_CTX_TASK_ID" "$AIRFLOW_CTX_TRY_NUMBER"
  printf -v run '"pid": %d, "start": %d, "worker": "%s", "time": %s' \
    "$$" "${21:-0}" "${WINDTUNNEL_WORKER:-$(hostname)}" "${now/,/.}"
  [ ! -d "$(dirname "$MARKS")" ] ||
    printf '{"event": "%s", %s, %s}\n' "$1" "$task" "$run" >>"$MARKS"
}
"""
