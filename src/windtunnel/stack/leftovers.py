"""Processes that a stack left behind when its supervisor died: found, named and ended before the next `up`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import fence, ledger, survivors
from windtunnel.ledger.fence import Generation
from windtunnel.settings import Settings
from windtunnel.system import procfs

#: Seconds that a service gets for an orderly end. A task's process gets none: a second copy must never run.
GRACE_SECONDS = 5.0


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _of_workers(settings: Settings) -> tuple[set[int], set[str]]:
    """What hides its environment: members of the sessions that workers wrote down, and ids of the task instances in hand."""
    processes = procfs.snapshot()
    members: set[int] = set()
    instances: set[str] = set()
    for files in ledger.all_workers(settings.run):
        record = ledger.read(files.supervisor)
        try:
            leader = Generation(int(record["sid"]), int(record["celery_start"]), str(record["boot"]))
        except (KeyError, TypeError, ValueError):
            pass
        else:
            members |= fence.session(processes, leader)
        instances |= {str(entry["id"]) for entry in files.in_hand().values() if entry.get("id")}
    return members, instances


def _pid_files(settings: Settings) -> Iterator[int]:
    for path in (settings.state / "postgres" / "postmaster.pid", settings.run / "valkey.pid"):
        try:
            # PostgreSQL writes it negative in single-user mode, as when it is created (src/backend/utils/init/miscinit.c).
            pid = abs(int(path.read_text().split()[0]))
        except (OSError, ValueError, IndexError):
            continue
        # A pid outlives its process and may be another's by now.
        if _is_ours(pid, path):
            yield pid


def _is_ours(pid: int, path: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name().startswith(("postgres", "valkey")) and process.create_time() <= path.stat().st_mtime + 5
    except (psutil.Error, OSError):
        return False


def find(settings: Settings) -> list[psutil.Process]:
    """Every living process of this state folder's stack, its supervisor included.

    They are known by a variable that only the stack's processes carry, by the recorded sessions of its workers, by the titles
    of the tasks in hand, by pid files, and by descent from any of these.
    """
    members, instances = _of_workers(settings)
    named = members | set(_pid_files(settings))
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            env = _environment(process)
            supervisor = _name(process).startswith("process-compose") and env.get("WINDTUNNEL_STATE") == str(settings.state)
            # A command's own client of the same name shares the state folder: only a server leads a session or has children.
            supervisor = supervisor and any(_environment(c).get("WINDTUNNEL_STACK") for c in process.children())
            if (
                supervisor
                or process.pid in named
                or env.get("WINDTUNNEL_STACK") == str(settings.state)
                or (not env and survivors.task_instance(process.pid) in instances)
            ):
                found[process.pid] = process
                for child in process.children(recursive=True):
                    found[child.pid] = child
        except (psutil.Error, OSError):
            continue
    # The supervisor first: it would start again what is ended before it.
    return sorted((p for p in found.values() if p.pid not in mine), key=lambda p: not _name(p).startswith("process-compose"))


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def describe(processes: list[psutil.Process]) -> str:
    """Their roles and counts, such as `postgres, 2 worker`."""
    roles: dict[str, int] = {}
    for process in processes:
        env = _environment(process)
        if role := env.get("WINDTUNNEL_WORKER") or env.get("PC_PROC_NAME") or _name(process):
            roles[role] = roles.get(role, 0) + 1
    return ", ".join(name if count == 1 else f"{count} of {name}" for name, count in sorted(roles.items()))


def send(process: psutil.Process, signum: int) -> bool:
    """Signals that very process; whether it was delivered."""
    found = procfs.read(process.pid)
    # psutil compares the start time that it saw first: the number was that process's before and after it was read here.
    return found is not None and process.is_running() and procfs.kill(found, signum)


def end(processes: list[psutil.Process]) -> list[psutil.Process]:
    """End them; returns those that are still there.

    PostgreSQL and Valkey are asked first, so that they close their files; everything else is killed at once.
    """
    asked = []
    for process in processes:
        if _name(process).startswith(("postgres", "valkey")):
            send(process, signal.SIGINT if _name(process).startswith("postgres") else signal.SIGTERM)
            asked.append(process)
        else:
            send(process, signal.SIGKILL)
    _, stubborn = psutil.wait_procs(asked, timeout=GRACE_SECONDS)
    for process in stubborn:
        send(process, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    return alive


def end_all(processes: list[psutil.Process]) -> None:
    """`end`, or an error that names what is still there.

    Raises:
        WindtunnelError: a process belongs to another user, or hangs in the kernel.
    """
    if alive := end(processes):
        named = ", ".join(f"{p.pid} ({_name(p)}, user {procfs.user(p.pid)})" for p in alive)
        pids = " ".join(str(p.pid) for p in alive)
        raise WindtunnelError(f"cannot end the process {named}, which this stack left: end it with `sudo kill -9 {pids}`, then try again")
