"""Logs that the state folder's file system gets full, stays full, or has room again."""

from __future__ import annotations

import logging
from pathlib import Path

from windtunnel.system import disk
from windtunnel.system.logs import Say

#: How often a disk that stays full is named again, since the disk may have lost the first line.
AGAIN_SECONDS = 60.0


class Watch:
    """One look costs a statvfs(2)."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.since = self.next = 0.0
        self.was = ""

    def check(self, now: float) -> None:
        """One look; `now` is in monotonic seconds."""
        try:
            room = disk.room(self.folder)
        except OSError:
            return
        state = ""
        if room.full:
            state = "full"
        elif room.low:
            state = "low"
        if state and (state != self.was or now >= self.next):
            self.next = now + AGAIN_SECONDS
            text = str(room.problem())
            level = logging.WARNING
            self.say("disk_low", text, level=level, full=room.full, free=room.free)
        if self.was == "full" and state != "full":
            seconds = now - self.since
            text = f"there is room again on {room.mount}: it was full for {seconds:.0f} s"
            self.say("disk_has_room", text, seconds=seconds, free=room.free)
        if state == "full" and self.was != "full":
            self.since = now
        self.was = state
