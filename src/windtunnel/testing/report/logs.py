"""The lines of the stack's logs that were written while a test ran, and the logs of its tasks."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from windtunnel.stack.task_error import traceback_lines

#: Bytes that are kept of one component's log, and of the log of one try.
COMPONENT_BYTES = 256 * 1024
TASK_BYTES = 20 * 1024 * 1024
#: process-compose renames a full log to NAME-TIME.log.
FORMER = re.compile(r"-\d{4}-\d\d-\d\dT[\d.-]+$")
#: Fields of a task's event that the place of the file says, or that stand in front of the line.
PLACED = frozenset(
    {"timestamp", "level", "event", "logger", "filename", "lineno", "error_detail"}
    | {"dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id"}
)

#: The inode and the size of each log by its name, at one moment.
Positions = dict[str, tuple[int, int]]


def positions(folder: Path) -> Positions:
    """Where the component logs end now."""
    found: Positions = {}
    for file in folder.glob("*.log"):
        try:
            facts = file.stat()
        except OSError:
            continue
        found[file.name] = (facts.st_ino, facts.st_size)
    return found


def since(folder: Path, begun: Positions) -> Iterator[tuple[str, list[tuple[Path, int]]]]:
    """Each component that wrote something since then: its name, its files and where to begin.

    Byte positions, because each component has its own way to write the time.
    """
    now = positions(folder)
    for name in sorted(name for name in now if not _component(name)):
        inode, start = begun.get(name, (0, 0))
        parts: list[tuple[Path, int]] = []
        for other in sorted(other for other in now if _component(other) == Path(name).stem):
            number, _ = now[other]
            # Renamed while the test ran.
            if number == inode or (begun and other not in begun):
                parts.append((folder / other, start if number == inode else 0))
        number, size = now[name]
        parts.append((folder / name, start if number == inode and start <= size else 0))
        if any(now[part.name][1] > offset for part, offset in parts):
            yield Path(name).stem, parts


def _component(name: str) -> str:
    """The component of a former log; empty for the log that is written now."""
    stem = Path(name).stem
    return FORMER.sub("", stem) if FORMER.search(stem) else ""


def copy(
    parts: Iterable[tuple[Path, int]],
    target: Path,
    limit: int,
    redact: Callable[[str], str],
    readable: Callable[[str], str] = str,
) -> None:
    """Copy lines of files, each part from its byte on; in the middle some are left out."""
    with open(target, "w", encoding="utf-8", errors="backslashreplace") as file:
        for line in excerpt(_lines(parts), limit):
            file.write(redact(readable(line)) + "\n")


def _lines(parts: Iterable[tuple[Path, int]]) -> Iterator[str]:
    for path, offset in parts:
        with open(path, "rb") as file:
            file.seek(offset)
            for line in file:
                yield line.rstrip(b"\r\n").decode(errors="replace")


def excerpt(lines: Iterable[str], limit: int) -> Iterator[str]:
    """The lines, or their first quarter and their last three of `limit` characters."""
    rest = iter(lines)
    room = limit // 4
    for line in rest:
        if len(line) > room:
            rest = _chain(line, rest)
            break
        room -= len(line) + 1
        yield line
    last: deque[str] = deque()
    size = dropped = 0
    for line in rest:
        last.append(line)
        size += len(line) + 1
        while size > limit * 3 // 4:
            size -= len(last.popleft()) + 1
            dropped += 1
    if dropped:
        yield f"[windtunnel: {dropped} lines are left out here]"
    yield from last


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def task_line(line: str) -> str:
    """One JSON event of a task's log, as a line for a person; another line as it is."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(event, dict):
        return line
    head = [str(event.get("timestamp", "")), f"{event.get('level', '')!s:8}"]
    more = [f"{key}={value}" for key, value in event.items() if key not in PLACED]
    text = " ".join([*head, str(event.get("event", "")), *more]).rstrip()
    return "\n".join([text, *traceback_lines(event.get("error_detail"))])
