"""`windtunnel doctor`: the ports, state folder, disk, memory and patches of one stack."""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.doctor.finding import Finding
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import SOCKET_PATH_LIMIT, Settings
from windtunnel.stack.ports import STEP
from windtunnel.system import disk as file_system
from windtunnel.system import listeners

#: Bytes of free disk for a state folder with some days of task logs, and of memory for the idle
#: stack with one worker.
DISK_NEEDED = 2 * 1024**3
MEMORY_NEEDED = 3 * 1024**3


def ports(settings: Settings) -> list[Finding]:
    """Each port is free or held by this stack, else it is a fault."""
    import psutil

    try:
        holders = listeners.by_port()
    except psutil.Error:
        detail = "this system does not show who listens; `process-compose up` tries each port"
        return [Finding("ports", True, detail)]
    move = f"PORT_OFFSET={settings.port_offset + STEP} {settings.start_command}"
    free: list[str] = []
    findings: list[Finding] = []
    for name, port in settings.own_ports:
        if port not in holders:
            free.append(f"{port} ({name})")
            continue
        who, ours = _holder(holders[port], settings)
        remedy = "" if ours else f"stop it, or move the stack: {move}"
        findings.append(Finding(f"port {port} ({name})", ours, f"held by {who}", remedy))
    if free:
        findings.insert(0, Finding("ports", True, f"free: {', '.join(free)}"))
    return findings


def _holder(pid: int | None, settings: Settings) -> tuple[str, bool]:
    """The name of a process, and whether it belongs to this stack."""
    import psutil

    if pid is None:
        return "a process of another user", False
    try:
        process = psutil.Process(pid)
        name = f"{process.name()} (pid {pid})"
        # The kernel hides the environment of a process with a new title; one of its parents has it.
        for relative in (process, *process.parents()):
            try:
                if relative.environ().get("WINDTUNNEL_STACK") == str(settings.state):
                    return f"this stack: {name}", True
            except psutil.Error:
                continue
        return name, False
    except psutil.Error:
        return f"pid {pid}", False


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def state(settings: Settings) -> Finding:
    """This user can write the folder, and nobody else can read its secrets."""
    remedy = "set WINDTUNNEL_STATE to a folder you can write"
    where = _existing(settings.state)
    if not where.is_dir():
        return Finding("state folder", False, f"{where} is not a folder", remedy)
    if not os.access(where, os.W_OK | os.X_OK):
        return Finding("state folder", False, f"{where} cannot be written by this user", remedy)
    if where != settings.state:
        return Finding("state folder", True, f"{settings.state} (not made yet)")
    secrets = settings.secrets
    mode = secrets.stat().st_mode & 0o777 if secrets.exists() else 0
    if mode & 0o077:
        detail = f"{secrets} has mode {mode:04o}: other users may read it"
        return Finding("state folder", False, detail, f"chmod 700 '{secrets}'")
    return Finding("state folder", True, str(settings.state))


def socket_path(settings: Settings) -> Finding:
    """The path of process-compose's socket; the kernel takes no longer one."""
    length = len(os.fsencode(settings.socket))
    ok = length <= SOCKET_PATH_LIMIT
    detail = f"{settings.socket} ({length} of {SOCKET_PATH_LIMIT} bytes)"
    remedy = "set WINDTUNNEL_STATE or XDG_CACHE_HOME to a shorter path"
    return Finding("socket path", ok, detail, "" if ok else remedy)


def _amount(name: str, free: int, needed: int, what: str, remedy: str) -> Finding:
    shown = f"{free / 1024**3:.1f} GiB {what}"
    if free >= needed:
        return Finding(name, True, shown)
    return Finding(name, False, f"{shown}; {needed / 1024**3:.0f} GiB are needed", remedy)


def disk(settings: Settings) -> Finding:
    """Free space at the state folder; a started stack's file system only must not be full."""
    where = _existing(settings.state)
    room = file_system.room(where)
    if settings.stack_file.exists():
        wrong = room.problem()
        shown = f"{room.free / 1024**3:.1f} GiB free below {where}"
        remedy = file_system.REMEDY.format(logs=settings.logs)
        return Finding("disk", wrong is None, wrong or shown, remedy if wrong else "")
    remedy = "make room, or set WINDTUNNEL_STATE to a folder on another disk"
    return _amount("disk", room.free, DISK_NEEDED, f"free below {where}", remedy)


def memory() -> Finding:
    """The memory that programs can take without swapping."""
    import psutil

    remedy = "end other programs, or use a machine with more memory"
    free = psutil.virtual_memory().available
    return _amount("memory", free, MEMORY_NEEDED, "available", remedy)


def running(settings: Settings) -> list[Finding]:
    """What the running stack itself says; nothing when no stack is running.

    A process-compose that does not answer is a fault, and the other findings are wanted then.
    """
    from windtunnel.clients import process_compose

    name = "running stack"
    try:
        process_compose.require(settings)
        rows = process_compose.Compose(settings).processes()
    except NoStackError:
        return []
    except WindtunnelError as error:
        fault, _, remedy = str(error).partition(": ")
        return [Finding(name, False, fault, remedy)]
    return [patches(settings, {process_compose.node(row.name) for row in rows if row.is_running})]


def patches(settings: Settings, processes: set[str]) -> Finding:
    """The outcomes of the patches in these processes.

    A skipped patch is a fault: Airflow works without it, but slower.
    """
    from windtunnel.health import status

    found = status.patches(settings, processes)
    states = [outcome["state"] for outcomes in found.values() for outcome in outcomes.values()]
    skipped = [
        f"{name} in {process}: {outcome['reason']}"
        for process, outcomes in found.items()
        for name, outcome in outcomes.items()
        if outcome["state"] == "skipped"
    ]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("applied", "skipped", "off"))
    switch = "WINDTUNNEL_PATCHES=-NAME (docs/reference/upstream.md)"
    remedy = f"use the locked versions, or switch it off: {switch}" if skipped else ""
    return Finding("patches", not skipped, "; ".join([counts, *skipped]), remedy)
