"""Says in a log when the file system of the state folder gets full, while it is, and when there is room again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from windtunnel.system import disk

#: A disk that stays full is named again this often: the line before was perhaps not written either.
AGAIN_SECONDS = 60.0


class Watch:
    """One look costs a statvfs(2)."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self.folder = folder
        self.say = say
        self.since = self.next = 0.0
        self.was = ""

    def check(self, now: float) -> None:
        """Monotonic seconds."""
        try:
            room = disk.room(self.folder)
        except OSError:
            return
        state = "full" if room.full else "low" if room.low else ""
        if state and (state != self.was or now >= self.next):
            self.next = now + AGAIN_SECONDS
            self.say(str(room.problem()))
        if self.was == "full" and state != "full":
            self.say(f"there is room again on {room.mount}: it was full for {now - self.since:.0f} s")
        if state == "full" and self.was != "full":
            self.since = now
        self.was = state
