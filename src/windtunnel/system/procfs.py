"""Processes as the kernel shows them: descent, session, start, processor time.

Only `/proc/PID/stat`, `statm` and `children` are relied upon. Pool children and task processes are
non-dumpable (airflow.sdk.execution_time.supervisor, `_make_process_nondumpable`). So an ordinary
user cannot read their `environ`, even if the user owns them. A program that a task starts with
`exec` is readable again.

Over 200 lines, because every reader of /proc is here.
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
    """One line of /proc/PID/stat (proc(5)).

    `start` is in clock ticks since boot. Pid and start together name one process of this boot.
    `cpu` is utime + stime in clock ticks.
    """

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
    """Changes with every boot: a pid that was recorded before a boot is not trusted after it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read(pid: int) -> Process | None:
    """The process; None if there is none (any more)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    # The name in brackets may contain brackets and blanks: the fields begin after the last bracket.
    fields = text[text.rfind(")") + 2 :].split()
    return Process(
        pid=pid,
        state=fields[0],
        ppid=int(fields[1]),
        pgrp=int(fields[2]),
        sid=int(fields[3]),
        cpu=int(fields[11]) + int(fields[12]),
        start=int(fields[19]),
    )


def find(pid: int, start: int, boot: str | None = None) -> Process | None:
    """The process with this pid and start; None if it has ended, even if its pid is in use again.

    Args:
        boot: the boot in which the pid was recorded; None if that is known to be the present one.
    """
    found = read(pid) if boot is None or boot == boot_id() else None
    return found if found is not None and found.start == start else None


def alive(pid: int, start: int) -> bool:
    """Whether the process with this pid and start still runs (a zombie does not)."""
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
    """Pids of the direct children of all threads of a process.

    This is cheap where the kernel has CONFIG_PROC_CHILDREN; elsewhere it scans all processes.
    """
    if not _lists_children():
        return [p.pid for p in snapshot().values() if p.ppid == pid]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.scandir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"{thread.path}/children", "rb") as file:
                found += [int(number) for number in file.read().split()]
    return found


def tree(pid: int) -> list[int]:
    """Pids of the process and all its descendants, parents first."""
    found = {pid: None}
    todo = [pid]
    while todo:
        new = [child for child in children(todo.pop()) if child not in found]
        found |= dict.fromkeys(new)
        todo += new
    return list(found)


def family(pid: int) -> list[Process]:
    """The process and all its descendants that are still there, parents first."""
    return [p for p in map(read, tree(pid)) if p is not None]


def descendants(roots: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """Pids of the roots and all their descendants in a snapshot."""
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
    """The environment at the start of the program; empty if it cannot be read."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.split(b"=", 1) for item in data.split(b"\0") if b"=" in item)
    return {os.fsdecode(key): os.fsdecode(value) for key, value in pairs}


def command(pid: int) -> str:
    """The command line, or the title that the process gave itself; empty if it has ended.

    A forked process inherits it. Every user can read it.
    """
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return os.fsdecode(data.replace(b"\0", b" ")).strip()


def name(pid: int) -> str:
    """The program's name (15 characters at most); empty if the process has ended."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/comm").read_bytes()).strip()
    except OSError:
        return ""


def user(pid: int) -> str:
    """Name or number of the user that the process runs as; empty if it has ended."""
    try:
        # Not the owner of /proc/PID: that is root for a process that hides its environment.
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        number = next(line.split()[2] for line in lines if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return ""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(int(number)).pw_name
    return number


def resident(pid: int) -> int:
    """Resident memory in bytes (RSS, shared pages count in full); 0 if the process has ended."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def kill(process: Process, signum: int = signal.SIGKILL) -> bool:
    """Signals this very process. All our code that signals anything but its own new child calls it.

    First a pidfd is opened for the number, and only then is the start time compared. So a process
    that got the number in between is never hit (pidfd_open(2)).

    Returns:
        Whether the signal was delivered. It is not if the process has ended or is another user's.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except OSError as error:
        # The kernel is too old, or a sandbox forbids the call.
        unsupported = error.errno in (errno.ENOSYS, errno.EPERM)
        if not unsupported:
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
    """Makes the kernel kill this process when the thread that forked it ends.

    See prctl(2), PR_SET_PDEATHSIG.
    """
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process instead of init's.

    See prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
