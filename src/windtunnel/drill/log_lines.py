"""The lines that a stack's components log while a scenario plays, at about the time of each.

A line that has no time has that at which it was read. process-compose may write it out late.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from windtunnel.drill import log_stamps
from windtunnel.drill.recording import Line, Recording
from windtunnel.pages import redact
from windtunnel.settings import Settings
from windtunnel.system import events

#: Lines of one scenario, and of one component within a second.
MOST, AT_ONCE = 80, 3
LONGEST = 240
#: The same line again within so many seconds says nothing new.
AGAIN = 20.0
TELLING = re.compile(
    r"\b(error|warn|warning|critical|fatal|panic|traceback|refused|lost|killed|stuck|terminated)\b"
    r"|error:|exception|shut(ting)? ?down|ready to accept|timed ?out|connection (reset|closed)",
    re.IGNORECASE,
)
#: Said by every start, whatever is broken.
CHATTER = re.compile(r"py\.warnings|superuser|memory overcommit|Traceback \(most recent", re.I)
#: Written whole, so it is not read again from the log beside it.
WITH_EVENTS = re.compile(r"^(worker-\d+|worker|worker-lab|reconciler)$")


class LogLines:
    """Reads on from where each log ended when this object was made.

    Args:
        name: the component that writes the log of this name.
    """

    def __init__(
        self, settings: Settings, recording: Recording, name: Callable[[str], str]
    ) -> None:
        self.folder, self.recording, self.name = settings.logs, recording, name
        self.hide = redact.of_stack(settings.state)
        self._ends = {file: _size(file) for file in self._files()}
        self._last: dict[tuple[str, str], float] = {}
        self._count: dict[tuple[str, int], int] = {}

    def _files(self) -> list[Path]:
        return [*self.folder.glob("*.log"), self.folder / events.NAME]

    def read(self) -> None:
        """What was written since the last call."""
        now = time.time()
        for file in self._files():
            with suppress(OSError):
                self._read(file, now)

    def _read(self, file: Path, now: float) -> None:
        start = self._ends.get(file, 0)
        size = _size(file)
        if size == start:
            return
        with open(file, "rb") as log:
            # A log that was renamed at its limit begins anew.
            log.seek(start if size > start else 0)
            text, end, left = log.read().rpartition(b"\n")
            self._ends[file] = log.tell() - len(left)
        for line in (text + end).decode(errors="replace").splitlines():
            if file.name == events.NAME:
                self._event(line)
            elif not WITH_EVENTS.match(file.stem) and _is_telling(line):
                moment, rest = log_stamps.split(line)
                # What was written before the scenario began is not its matter.
                if moment is None or moment >= self.recording.began:
                    self._add(min(moment or now, now), self.name(file.stem), rest)

    def _event(self, line: str) -> None:
        with suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            self._add(float(event["time"]), str(event["component"]), str(event["text"]))

    def _add(self, moment: float, component: str, text: str) -> None:
        kind = component, re.sub(r"\d+", "", text)
        second = component, int(moment)
        again = moment - self._last.get(kind, -AGAIN) < AGAIN
        self._last[kind] = moment
        self._count[second] = self._count.get(second, 0) + 1
        if again or self._count[second] > AT_ONCE or len(self.recording.lines) >= MOST:
            self.recording.lines_left_out += 1
            return
        shown = self.hide(text.strip())
        if len(shown) > LONGEST:
            shown = f"{shown[:LONGEST]} …"
        self.recording.lines.append(Line(moment, component, shown))


def _is_telling(line: str) -> bool:
    return bool(TELLING.search(line)) and not CHATTER.search(line)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
