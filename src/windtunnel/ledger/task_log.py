"""Lines that a worker adds to the log of a task, so that Airflow's UI shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def tell_log(entry: Mapping[str, Any], text: str, level: str = "critical") -> None:
    """Appends a line to the task's own log.

    The format is Airflow 3's: one JSON object a line.
    """
    path = entry.get("log")
    if not path or not Path(str(path)).parent.is_dir():
        return
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    event = {"timestamp": stamp, "level": level, "event": text, "logger": "windtunnel.worker"}
    line = json.dumps(event)
    try:
        with open(str(path), "ab") as file:
            file.write(line.encode() + b"\n")
    except OSError:
        pass  # the supervisor's log has the line too
