"""The log of a component of ours: lines for people, and the file of events for machines.

The component's `main` calls `configure` once. Every module then uses its own logger below
`windtunnel`. A line that is also an event has `extra=logs.event("task_lost", task=ID)`.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from windtunnel.system import events


class Say(Protocol):
    """Logs one line that is also an event."""

    def __call__(
        self,
        event: str,
        text: str,
        *,
        level: int = logging.INFO,
        **fields: Any,
    ) -> None:
        """`text` is the line for people, `fields` are the event's own."""


def event(name: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """The `extra` of a log record that is also an event."""
    return {"event": {"event": name, **fields}}


def configure(
    component: str,
    file: Path,
    prefix: str = "",
    lines: logging.Handler | None = None,
) -> None:
    """Connects the loggers below `windtunnel` with this process's output and the file of events.

    Args:
        component: the process as process-compose names it, such as `worker-0`.
        file: the file of events (windtunnel.system.events).
        prefix: stands before each line; the component by default.
        lines: the handler for people; standard output by default.
    """
    if lines is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        lines = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter(
        f"%(asctime)s {prefix or component}: %(message)s",
        "%Y-%m-%dT%H:%M:%SZ",
    )
    formatter.converter = time.gmtime
    lines.setFormatter(formatter)
    log = logging.getLogger("windtunnel")
    log.setLevel(logging.INFO)
    log.handlers = [lines, EventFile(component, file)]


class EventFile(logging.Handler):
    """Writes the records that are events."""

    def __init__(self, component: str, file: Path) -> None:
        super().__init__()
        self.component = component
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] | None = getattr(record, "event", None)
        if fields is None:
            return
        common = {
            "time": round(record.created, 3),
            "component": self.component,
            "level": record.levelname.lower(),
            "text": record.getMessage(),
        }
        events.append(self.file, common | fields)
