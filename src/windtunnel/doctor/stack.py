"""Room for one stack on this machine: its ports, its state folder, disk and memory. Part of `windtunnel doctor`."""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.doctor.finding import Finding
from windtunnel.settings import SOCKET_PATH_LIMIT, Settings
from windtunnel.system import disk as file_system

#: Free disk for a state folder with some days of task logs, and memory for the idle stack with one worker; bytes.
DISK_NEEDED = 2 * 1024**3
MEMORY_NEEDED = 3 * 1024**3


def ports(settings: Settings) -> list[Finding]:
    """Free, or held by this very stack."""
    import psutil

    holders: dict[int, int | None] = {}
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr:
                holders[connection.laddr.port] = connection.pid
    except psutil.Error:
        return [Finding("ports", True, "this system does not say who listens; `process-compose up` tries them")]
    free: list[str] = []
    findings: list[Finding] = []
    for name, port in settings.ports.items():
        if port not in holders:
            free.append(f"{port} ({name})")
            continue
        who, ours = _holder(holders[port], settings)
        remedy = "" if ours else f"stop it, or move the stack: PORT_OFFSET={settings.port_offset + 1000} process-compose up"
        findings.append(Finding(f"port {port} ({name})", ours, f"held by {who}", remedy))
    if free:
        findings.insert(0, Finding("ports", True, f"free: {', '.join(free)}"))
    return findings


def _holder(pid: int | None, settings: Settings) -> tuple[str, bool]:
    """Who it is, and whether it belongs to this stack."""
    import psutil

    if pid is None:
        return "a process of another user", False
    try:
        process = psutil.Process(pid)
        name = f"{process.name()} (pid {pid})"
        # The kernel hides the environment of a process that retitled itself; one of its parents has it.
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
    """The path itself, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def state(settings: Settings) -> Finding:
    """Whether it can be written, and nobody else can look into its secrets."""
    remedy = "set WINDTUNNEL_STATE to a folder you can write"
    where = _existing(settings.state)
    if not where.is_dir():
        return Finding("state folder", False, f"{where} is not a folder", remedy)
    if not os.access(where, os.W_OK | os.X_OK):
        return Finding("state folder", False, f"{where} cannot be written by this user", remedy)
    if where != settings.state:
        return Finding("state folder", True, f"{settings.state} (not made yet)")
    secrets = settings.secrets
    if secrets.exists() and (mode := secrets.stat().st_mode & 0o777) & 0o077:
        return Finding("state folder", False, f"{secrets} has mode {mode:04o}: others can look into it", f"chmod 700 '{secrets}'")
    return Finding("state folder", True, str(settings.state))


def socket_path(settings: Settings) -> Finding:
    """process-compose's socket: the kernel takes no longer path."""
    length = len(os.fsencode(settings.socket))
    ok = length <= SOCKET_PATH_LIMIT
    detail = f"{settings.socket} ({length} of {SOCKET_PATH_LIMIT} bytes)"
    return Finding("socket path", ok, detail, "" if ok else "set WINDTUNNEL_STATE or XDG_RUNTIME_DIR to a shorter path")


def _amount(name: str, free: int, needed: int, what: str, remedy: str) -> Finding:
    ok = free >= needed
    shown = f"{free / 1024**3:.1f} GiB {what}"
    return Finding(name, ok, shown if ok else f"{shown}; {needed / 1024**3:.0f} GiB are needed", "" if ok else remedy)


def disk(settings: Settings) -> Finding:
    """Free space where the state folder is; a running stack's file system is named when it is full or nearly so."""
    where = _existing(settings.state)
    room = file_system.room(where)
    if settings.stack_file.exists():
        wrong = room.problem()
        shown = f"{room.free / 1024**3:.1f} GiB free below {where}"
        return Finding("disk", wrong is None, wrong or shown, file_system.REMEDY.format(logs=settings.logs) if wrong else "")
    free = room.free
    return _amount("disk", free, DISK_NEEDED, f"free below {where}", "make room, or set WINDTUNNEL_STATE to a folder on another disk")


def memory() -> Finding:
    """What programs could still take without swapping."""
    import psutil

    remedy = "end other programs, or use a machine with more memory"
    return _amount("memory", psutil.virtual_memory().available, MEMORY_NEEDED, "available", remedy)


def patches(settings: Settings) -> list[Finding]:
    """What became of the patches of a running stack; nothing where none runs. A skipped one is slower Airflow, not a wrong machine."""
    from windtunnel.clients import process_compose
    from windtunnel.health import status

    if not process_compose.answers(settings):
        return []
    rows = process_compose.Compose(settings).processes()
    found = status.patches(settings, {process_compose.node(row.name) for row in rows if row.is_running})
    states = [outcome["state"] for outcomes in found.values() for outcome in outcomes.values()]
    skipped = [
        f"{name} in {process}: {outcome['reason']}"
        for process, outcomes in found.items()
        for name, outcome in outcomes.items()
        if outcome["state"] == "skipped"
    ]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("applied", "skipped", "off"))
    remedy = "use the locked versions, or switch it off: WINDTUNNEL_PATCHES=-NAME (docs/reference/upstream.md)"
    return [Finding("patches", not skipped, "; ".join([counts, *skipped]), remedy if skipped else "")]
