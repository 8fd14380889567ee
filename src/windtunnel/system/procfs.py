"""Processes as the kernel shows them: who descends from whom, which session, when started, how busy.

Only `/proc/PID/stat`, `statm` and `children` are relied upon. Pool children and task processes are non-dumpable
(airflow.sdk.execution_time.supervisor, `_make_process_nondumpable`), so an ordinary user cannot read their `environ`,
not even the one who owns them; what a task starts with `exec` is readable again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
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

    @property
    def key(self) -> tuple[int, int]:
        """Names the process in this boot."""
        return self.pid, self.start


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


def find(pid: int, start: int, boot: str | None = None) -> Process | None:
    """That very process, as it was written down; None where it is gone or its number is another's by now.

    Args:
        boot: the boot in which the pid was written down; None where this is known to be the present one.
    """
    found = read(pid) if boot is None or boot == boot_id() else None
    return found if found is not None and found.start == start else None


def alive(pid: int, start: int) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    found = find(pid, start)
    return found is not None and found.state not in "ZX"


def snapshot() -> dict[int, Process]:
    """All processes. About 20 µs each: for fences and rare checks, not for every second."""
    found = (read(int(entry.name)) for entry in os.scandir("/proc") if entry.name.isdigit())
    return {p.pid: p for p in found if p is not None}


@cache
def _lists_children() -> bool:
    return Path(f"/proc/self/task/{os.getpid()}/children").exists()


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process, cheaply (CONFIG_PROC_CHILDREN; elsewhere by a full scan)."""
    if not _lists_children():
        return [p.pid for p in snapshot().values() if p.ppid == pid]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"{thread.path}/children", "rb") as file:
                found += [int(x) for x in file.read().split()]
    return found


def tree(pid: int) -> list[int]:
    """The process and all that descend from it, parents first."""
    found, todo = {pid: None}, [pid]
    while todo:
        new = [c for c in children(todo.pop()) if c not in found]
        found |= dict.fromkeys(new)
        todo += new
    return list(found)


def family(pid: int) -> list[Process]:
    """`tree`, of those that are still there."""
    return [p for p in map(read, tree(pid)) if p is not None]


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


def command(pid: int) -> str:
    """The command line, or the title that the process gave itself; what it forks inherits it. Readable for everyone."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")).strip()
    except OSError:
        return ""


def name(pid: int) -> str:
    """The program's name (15 characters)."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/comm").read_bytes()).strip()
    except OSError:
        return ""


def user(pid: int) -> str:
    """Name or number of the user that the process runs as; empty where it is gone."""
    try:
        # Not the owner of the folder: a process that hides its environment belongs to root there.
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        number = next(line.split()[2] for line in lines if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return ""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(int(number)).pw_name
    return number


def resident(pid: int) -> int:
    """Bytes of memory the process holds (RSS, shared pages counted in full); 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def kill(process: Process, signum: int = signal.SIGKILL) -> bool:
    """Signals that very process: the one place where anything of ours signals what is not its own new child.

    The pidfd holds on to whatever has the number now; only then is its start time compared. So a number that the kernel
    gives out again in between is never hit (pidfd_open(2)).

    Returns:
        Whether the signal was delivered: not where the process is gone, or is another user's.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # too old a kernel, or a sandbox that forbids it
            return False
        return _kill_by_number(process, signum)
    try:
        if find(process.pid, process.start) is None:
            return False
        signal.pidfd_send_signal(handle, signum)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(handle)
    return True


def _kill_by_number(process: Process, signum: int) -> bool:
    try:
        if find(process.pid, process.start) is None:
            return False
        os.kill(process.pid, signum)
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
