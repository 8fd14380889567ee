"""Finds, names and ends the processes that a stack left when its process-compose died."""

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

#: PostgreSQL and Valkey have this time for an orderly end. A task's process is killed at once,
#: because a second copy must never run.
GRACE_SECONDS = 5.0


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _of_workers(settings: Settings) -> tuple[set[int], set[str]]:
    """Marks of processes that hide their environment.

    Returns:
        The members of the sessions that workers recorded, and the ids of the task instances in
        hand.
    """
    processes = procfs.snapshot()
    members: set[int] = set()
    instances: set[str] = set()
    for files in ledger.all_workers(settings.run):
        record = ledger.read(files.supervisor)
        try:
            leader = Generation(
                int(record["sid"]),
                int(record["celery_start"]),
                str(record["boot"]),
            )
        except (KeyError, TypeError, ValueError):
            pass
        else:
            members |= fence.session(processes, leader)
        instances |= {str(entry["id"]) for entry in files.in_hand().values() if entry.get("id")}
    return members, instances


def _pid_files(settings: Settings) -> Iterator[int]:
    for path in (settings.state / "postgres" / "postmaster.pid", settings.run / "valkey.pid"):
        try:
            # PostgreSQL writes a negative pid in single-user mode, which initdb uses
            # (src/backend/utils/init/miscinit.c).
            pid = abs(int(path.read_text().split()[0]))
        except (OSError, ValueError, IndexError):
            continue
        # The pid in the file may belong to another process by now.
        if _is_ours(pid, path):
            yield pid


def _is_ours(pid: int, path: Path) -> bool:
    try:
        process = psutil.Process(pid)
        older = process.create_time() <= path.stat().st_mtime + 5
        return older and process.name().startswith(("postgres", "valkey"))
    except (psutil.Error, OSError):
        return False


def _is_supervisor(process: psutil.Process, env: dict[str, str], state: str) -> bool:
    """Whether this is the process-compose of the stack, and not a command's client.

    A client has the same name and state folder; only the server has children of the stack.
    """
    if not _name(process).startswith("process-compose") or env.get("WINDTUNNEL_STATE") != state:
        return False
    return any(_environment(child).get("WINDTUNNEL_STACK") for child in process.children())


def supervisor(settings: Settings) -> procfs.Process | None:
    """The living process-compose of this stack, found by its children and not by its socket."""
    state = str(settings.state)
    for process in psutil.process_iter():
        try:
            # The name first: /proc/PID/environ of every process costs more.
            if not _name(process).startswith("process-compose"):
                continue
            if _is_supervisor(process, _environment(process), state):
                return procfs.read(process.pid)
        except psutil.Error:
            continue
    return None


def find(settings: Settings) -> list[psutil.Process]:
    """Every living process of this state folder's stack, its process-compose included.

    Their marks are a variable of the stack's processes alone, the recorded sessions of its workers,
    the titles of the tasks in hand, and pid files. A descendant of one of them counts too.
    """
    state = str(settings.state)
    members, instances = _of_workers(settings)
    named = members | set(_pid_files(settings))
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            env = _environment(process)
            if (
                _is_supervisor(process, env, state)
                or process.pid in named
                or env.get("WINDTUNNEL_STACK") == state
                or (not env and survivors.task_instance(process.pid) in instances)
            ):
                found[process.pid] = process
                for child in process.children(recursive=True):
                    found[child.pid] = child
        except (psutil.Error, OSError):
            continue
    # process-compose first: it would restart a process that is ended before it.
    others = [process for process in found.values() if process.pid not in mine]
    return sorted(others, key=lambda p: not _name(p).startswith("process-compose"))


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def describe(processes: list[psutil.Process]) -> str:
    """Their roles and counts, such as `postgres, 2 of worker`."""
    roles: dict[str, int] = {}
    for process in processes:
        env = _environment(process)
        role = env.get("WINDTUNNEL_WORKER") or env.get("PC_PROC_NAME") or _name(process)
        if role:
            roles[role] = roles.get(role, 0) + 1
    counted = sorted(roles.items())
    return ", ".join(name if count == 1 else f"{count} of {name}" for name, count in counted)


def send(process: psutil.Process, signum: int) -> bool:
    """Send a signal to this process, never to another of the same pid; whether it arrived."""
    found = procfs.read(process.pid)
    # psutil compares the start time with the one that it saw first. So the pid belonged to this
    # process before and after it was read here.
    return found is not None and process.is_running() and procfs.kill(found, signum)


def end(processes: list[psutil.Process]) -> list[psutil.Process]:
    """End processes.

    PostgreSQL and Valkey get a signal first, so that they close their files. The others are
    killed at once.

    Returns:
        The processes that are still there.
    """
    asked = []
    for process in processes:
        if _name(process).startswith(("postgres", "valkey")):
            send(
                process,
                signal.SIGINT if _name(process).startswith("postgres") else signal.SIGTERM,
            )
            asked.append(process)
        else:
            send(process, signal.SIGKILL)
    _, stubborn = psutil.wait_procs(asked, timeout=GRACE_SECONDS)
    for process in stubborn:
        send(process, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    return alive


def end_all(processes: list[psutil.Process]) -> None:
    """End processes.

    Raises:
        WindtunnelError: a process belongs to another user, or hangs in the kernel.
    """
    alive = end(processes)
    if alive:
        named = ", ".join(f"{p.pid} ({_name(p)}, user {procfs.user(p.pid)})" for p in alive)
        pids = " ".join(str(process.pid) for process in alive)
        step = f"end it with `sudo kill -9 {pids}`, then try again"
        raise WindtunnelError(f"cannot end the process {named}, which this stack left: {step}")
