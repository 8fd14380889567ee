"""The log of a task on a full disk."""

from __future__ import annotations

import functools
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch
from windtunnel.system import disk

#: How long a task that cannot make its log file waits between two attempts; it has not begun yet.
WAIT_SECONDS = 2.0


class LogFile:
    """Writes lines to a file without a buffer.

    It counts the lines that find no room, and writes their number once there is room again.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.missing = 0
        self.torn = False

    def write(self, line: bytes) -> None:
        """Raises OSError, except on a full disk."""
        text = (b"\n" if self.torn else b"") + self._notice() + line
        try:
            written = os.write(self.descriptor, text)
        except OSError as error:
            if error.errno not in disk.NO_ROOM:
                raise
            self.missing += 1
            return
        if written == len(text):
            self.missing, self.torn = 0, False
        else:
            self.missing += 1
            self.torn = written > 0 or self.torn

    def _notice(self) -> bytes:
        if not self.missing:
            return b""
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        text = f"{self.missing} line(s) of this log are missing: the disk was full"
        line = {
            "timestamp": stamp,
            "level": "warning",
            "event": text,
            "logger": "windtunnel.worker",
        }
        return json.dumps(line).encode() + b"\n"

    def flush(self) -> None:
        """Does nothing: there is no buffer."""


CONFIGURE = "airflow.sdk.execution_time.supervisor:_configure_logging"


@patch(
    "fault",
    CONFIGURE,
    tested="apache-airflow-task-sdk 1.2 to 1.3.2",
    components=("worker",),
    late=("worker",),
)
def task_log_survives_full_disk() -> Replacements:
    """A task whose log finds no room goes on without those lines instead of being failed.

    Fault: `_log_to_target` and `supervise_task` let an OSError of the log file pass. It ends
    Airflow's supervisor of the task, and with it the task; buffered lines raise it once more when
    the file is closed. A log file that cannot be made fails the task before it begins. No upstream
    report found. Ours: the lines are dropped and counted; a task that has not begun waits for room.
    """
    import structlog
    from airflow.sdk.execution_time import supervisor

    original = supervisor._configure_logging
    if getattr(original, "windtunnel", False):
        return {}
    has_slots = {"_write", "_flush"} <= set(structlog.BytesLogger.__slots__)
    if parameters(original) != ["log_path", "client"] or not has_slots:
        raise Unfit("the SDK configures a task's log differently")

    @functools.wraps(original)
    def _configure_logging(log_path: str, client: Any) -> Any:
        while True:
            try:
                logger, file = original(log_path, client)
                break
            except OSError as error:
                if error.errno not in disk.NO_ROOM:
                    raise
                time.sleep(WAIT_SECONDS)
        target = getattr(logger, "_logger", None)
        if isinstance(target, structlog.BytesLogger):
            patient = LogFile(file.fileno())
            target._write, target._flush = patient.write, patient.flush
        return logger, file

    _configure_logging.windtunnel = True  # type: ignore[attr-defined]
    return {CONFIGURE: _configure_logging}
