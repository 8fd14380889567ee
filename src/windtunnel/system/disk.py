"""The file system of the state folder: its free space, and whether that is too little."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
#: With less, PostgreSQL cannot create its next segment of write-ahead log (16 MiB).
#: The stack then begins to stop.
FULL_BYTES = 16 * MIB
#: The smaller one counts: a share of a small file system, or room for hours of task logs.
LOW_SHARE = 0.05
LOW_BYTES = 512 * MIB
#: The errors of write(2) when the disk is full, or the user's quota is used up.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Room:
    """The free space of a mounted file system.

    `free` is in bytes that an ordinary user may still write, of `total` bytes. `files_free` is a
    number of inodes, None if the file system does not count them.
    """

    mount: Path
    free: int
    total: int
    files_free: int | None = None

    @property
    def full(self) -> bool:
        return self.free < self._full_below or self.files_free == 0

    @property
    def low(self) -> bool:
        low_below = min(LOW_BYTES, self.total * LOW_SHARE)
        return self.free < max(low_below, 2 * self._full_below)

    @property
    def _full_below(self) -> float:
        return min(FULL_BYTES, self.total * LOW_SHARE)

    def problem(self) -> str | None:
        """The problem in words; None while there is room."""
        subject = f"the file system {self.mount} of the state folder"
        if self.files_free == 0:
            return f"{subject} is full: no file can be made (no inode is free)"
        amount = f"{self.free / MIB:.0f} of {self.total / MIB:.0f} MiB free"
        if self.full:
            return f"{subject} is full: {amount}"
        if self.low:
            return f"{subject} is nearly full: {amount}"
        return None


_EXAMPLE = "such as old task logs below {logs}"
#: For a person. Nothing has to be restarted afterwards.
REMEDY = f"make room there, {_EXAMPLE}; every part goes on by itself within 30 s"


def room(folder: Path) -> Room:
    """The free space below a folder. Raises OSError if there is no such folder."""
    found = os.statvfs(folder)
    # A file system without a table of inodes reports 0 of 0.
    files = found.f_favail if found.f_files else None
    free = found.f_bavail * found.f_frsize
    total = found.f_blocks * found.f_frsize
    return Room(mount(folder), free, total, files)


def mount(folder: Path) -> Path:
    """The folder on which the file system is mounted."""
    path = folder.resolve()
    while not path.is_mount():
        path = path.parent
    return path


def problem(folder: Path) -> str | None:
    """`Room.problem` of the file system below a folder; None if it cannot be read."""
    try:
        return room(folder).problem()
    except OSError:
        return None
