"""Processes as the kernel shows them: who descends from whom, which session, when started, how busy.

Only `/proc/PID/stat`, `statm` and `children` are relied upon. Pool children and task processes are non-dumpable
(airflow.sdk.execution_time.supervisor, `_make_process_nondumpable`), so an ordinary user cannot read their `environ`,
not even the one who owns them; what a task starts with `exec` is readable again.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Process:
    """One line of /proc/PID/stat (proc(5)). `start` in clock ticks since boot: with the pid it names a process for good."""

    pid: int
    state: str
    ppid: int
    pgrp: int
    sid: int
    cpu: int
    start: int


@cache
def boot_id() -> str:
    """Changes with every boot, so that a pid written down before it is never trusted after it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read(pid: int) -> Process | None:
    """The process, or None where there is none (any more). `cpu` is utime + stime in ticks."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    # The name in brackets may hold anything, also brackets and blanks: the fields begin after the last one.
    f = text[text.rfind(")") + 2 :].split()
    return Process(pid, f[0], int(f[1]), int(f[2]), int(f[3]), int(f[11]) + int(f[12]), int(f[19]))


def alive(pid: int, start: int) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    found = read(pid)
    return found is not None and found.start == start and found.state not in "ZX"


def snapshot() -> dict[int, Process]:
    """All processes. About 20 µs each: for fences and rare checks, not for every second."""
    found = (read(int(entry.name)) for entry in os.scandir("/proc") if entry.name.isdigit())
    return {p.pid: p for p in found if p is not None}


def children(pid: int) -> list[int]:
    """Direct children of a process's main thread, cheaply (CONFIG_PROC_CHILDREN; elsewhere by a full scan)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(x) for x in file.read().split()]
    except FileNotFoundError:
        if not Path(f"/proc/{pid}/task/{pid}").exists():
            return []
        return [p.pid for p in snapshot().values() if p.ppid == pid]
    except OSError:
        return []


def tree(pid: int) -> list[int]:
    """The process and all that descend from it, parents first."""
    found, todo = [pid], [pid]
    while todo:
        new = [c for c in children(todo.pop()) if c not in found]
        found += new
        todo += new
    return found


def descendants(roots: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """The roots and everything below them in a snapshot."""
    below: dict[int, list[int]] = {}
    for p in processes.values():
        below.setdefault(p.ppid, []).append(p.pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += below.get(pid, [])
    return found


def environment(pid: int) -> dict[str, str]:
    """What the program was started with; empty where it may not be read."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.split(b"=", 1) for item in data.split(b"\0") if b"=" in item)
    return {os.fsdecode(key): os.fsdecode(value) for key, value in pairs}


def resident(pid: int) -> int:
    """Bytes of memory the process holds (RSS, shared pages counted in full); 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def kill(pid: int, signum: int = signal.SIGKILL) -> bool:
    """Whether the signal was delivered."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if hasattr(signal, "pidfd_send_signal"):  # Linux, where prctl is
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """The kernel kills this process when the thread that forked it ends (prctl(2), PR_SET_PDEATHSIG)."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def become_subreaper() -> None:
    """Orphaned descendants become children of this process instead of init's (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
