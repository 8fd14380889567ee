"""The file of events of one machine's stack: JSON, one object a line, from several processes.

Each line is one write(2) to a file that was opened with O_APPEND, so lines of several processes
never mix. A full disk costs the event and nothing else. At its limit the file becomes FILE.1, and
the FILE.1 before it is deleted.
Standard library only: supervisors must stay light, and the driver of the NixOS tests reads it too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: Below the folder of logs.
NAME = "events.jsonl"
#: Of one of the two files.
LIMIT_BYTES = 5 * 1024 * 1024

#: One event: `time` in Unix seconds, `component`, `event`, `level`, `text`, and its own fields.
Event = dict[str, Any]


def append(path: Path, event: Mapping[str, Any]) -> None:
    """Adds one line. An event that cannot be written is dropped: it must never end its process."""
    line = json.dumps(event, default=str).encode() + b"\n"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, _end_of_a_cut_line(descriptor) + line)
            if os.fstat(descriptor).st_size > LIMIT_BYTES:
                _rotate(path, descriptor)
        finally:
            os.close(descriptor)


def _end_of_a_cut_line(descriptor: int) -> bytes:
    """A line feed if the disk became full in the last line, else nothing.

    A write of another process looks the same for a moment. The file then gets an empty line.
    """
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return b""
    return b"\n"


def _rotate(path: Path, descriptor: int) -> None:
    """Renames the file, unless another process does so or has done so.

    Raises:
        OSError: another process holds the lock, or the file cannot be renamed.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if path.stat().st_ino == os.fstat(descriptor).st_ino:
        path.replace(former(path))


def former(path: Path) -> Path:
    """The file of the events before those in `path`."""
    return path.with_name(f"{path.name}.1")


def read(path: Path) -> list[Event]:
    """All events that are kept, oldest first; empty if there are none."""
    lines: list[bytes] = []
    for part in (former(path), path):
        with contextlib.suppress(OSError):
            lines += part.read_bytes().splitlines()
    return list(parse(lines))


def parse(lines: Iterable[str | bytes]) -> Iterator[Event]:
    """The events of such lines. A line that a full disk has cut off is skipped."""
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("time"), int | float):
                yield event
