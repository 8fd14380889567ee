"""Names a process that fails again and again: how often, and the last line of its log."""

from __future__ import annotations

import re
from pathlib import Path

from windtunnel.clients import process_compose
from windtunnel.health import checks
from windtunnel.settings import Settings

#: Starts after failures that make "again and again".
MANY = 3
#: A process that has run for longer does not fail again and again any more.
RECENT_SECONDS = 60.0
#: The beginning of what is said; `wait` recognises by it what changes with every restart.
AGAIN = ", and restarts again and again"
#: Bytes of a log that are looked through for its last line, and characters of it that are shown.
TAIL = 4096
LONGEST = 200
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def told(settings: Settings, row: process_compose.Process) -> str:
    """The end of the fault of a process; empty for one that does not restart again and again."""
    node = process_compose.node(row.name)
    settled = row.is_running and row.age > RECENT_SECONDS * 10**9
    count = 0 if settled else row.restarts
    if row.name.startswith("worker"):
        count = max(count, _recent_of_worker(settings, node))
    if count < MANY:
        return ""
    log = settings.logs / f"{node}.log"
    return f"{AGAIN}: {count} times so far, {log.name} ends with {last_line(log)!r}"


def _recent_of_worker(settings: Settings, node: str) -> int:
    """How often the supervisor started Celery again, the last time a moment ago."""
    record = checks.supervisor_record(settings, node)
    last = (record.get("last_incident") or {}).get("time") or 0.0
    recent = abs(checks.now() - last) < RECENT_SECONDS
    return int(record.get("restarts") or 0) if recent else 0


def last_line(log: Path) -> str:
    """The last line that is not empty; empty where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in COLOURS.sub("", text).splitlines()]
    return next((line for line in reversed(lines) if line), "")[:LONGEST]
