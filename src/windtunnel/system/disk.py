"""The file system of the state folder: how much room it has, when that is too little, and what it is called."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
#: Below this PostgreSQL cannot make its next piece of write-ahead log (16 MiB): the stack begins to stop.
FULL_BYTES = 16 * MIB
#: Whichever is smaller: a share of a small file system, or room for some hours of task logs on a large one.
LOW_SHARE = 0.05
LOW_BYTES = 512 * MIB
#: What write(2) says for want of room, or of quota.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Room:
    """Bytes that an ordinary user may still write, of how many, and where the file system is mounted."""

    mount: Path
    free: int
    total: int
    files_free: int | None = None

    @property
    def full(self) -> bool:
        return self.free < min(FULL_BYTES, self.total * LOW_SHARE) or self.files_free == 0

    @property
    def low(self) -> bool:
        return self.free < max(min(LOW_BYTES, self.total * LOW_SHARE), 2 * min(FULL_BYTES, self.total * LOW_SHARE))

    def problem(self) -> str | None:
        """What is wrong in words, None while there is room."""
        if self.files_free == 0:
            return f"the file system {self.mount} of the state folder is full: no file can be made (inodes)"
        amount = f"{self.free / MIB:.0f} of {self.total / MIB:.0f} MiB free"
        if self.full:
            return f"the file system {self.mount} of the state folder is full: {amount}"
        return f"the file system {self.mount} of the state folder is nearly full: {amount}" if self.low else None


#: For a person: nothing has to be started again afterwards.
REMEDY = "make room there, such as old task logs below {logs}; every part goes on by itself within 30 s"


def room(folder: Path) -> Room:
    """Raises OSError where there is no such folder."""
    found = os.statvfs(folder)
    # A file system without a table of inodes says 0 of 0.
    files = found.f_favail if found.f_files else None
    return Room(mount(folder), found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, files)


def mount(folder: Path) -> Path:
    """The folder on which the file system is mounted."""
    path = folder.resolve()
    while not path.is_mount():
        path = path.parent
    return path


def problem(folder: Path) -> str | None:
    """`Room.problem` of the file system below a folder; None where nobody can tell."""
    try:
        return room(folder).problem()
    except OSError:
        return None
