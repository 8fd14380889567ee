"""Notes of open blocks in the stack's `run`: what a killed test has left undone.

A note outlives its process. The stack may be one that a person works with, so the next session
of the stack mends what the note names.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windtunnel.services import state_folder
from windtunnel.system import procfs

Facts = dict[str, Any]


class Note:
    """The file of one block of this process. Its values may be secrets."""

    def __init__(self, run: Path, kind: str, facts: Facts) -> None:
        """`run`: the stack's folder of that name. `kind`: the folder of such notes in it."""
        folder = run / kind
        folder.mkdir(mode=0o700, exist_ok=True)
        # In the order of time.
        self._file = folder / f"{time.time_ns():020}-{os.getpid()}.json"
        own = procfs.read(os.getpid())
        process = {"pid": os.getpid(), "start": own.start if own else 0, "boot": procfs.boot_id()}
        self._facts = process | facts
        self.write({})

    def write(self, facts: Facts) -> None:
        """Write it, with more facts."""
        self._facts |= facts
        state_folder.write_private(self._file, json.dumps(self._facts, default=str))

    def remove(self) -> None:
        """The block has ended."""
        self._file.unlink(missing_ok=True)


def left(run: Path, kind: str) -> Iterator[Facts]:
    """The notes of processes that have ended, of nested blocks the inner one first.

    A note is removed when the next one is asked for. Other sessions wait meanwhile.
    """
    folder = run / kind
    if not folder.is_dir():
        return
    with open(run / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file in sorted(folder.glob("*.json"), reverse=True):
            facts = json.loads(file.read_bytes())
            alive = procfs.alive(facts["pid"], facts["start"])
            if alive and facts["boot"] == procfs.boot_id():
                continue
            yield facts
            file.unlink()
