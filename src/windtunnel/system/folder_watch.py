"""Notices that files were created or removed below a folder.

It looks at the directories only, and into no virtual environment.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Two changes this close together may have the same timestamp.
#: A tick of the kernel is 4 ms; network file systems are coarser.
GRAIN_SECONDS = 2.0
#: Folders without DAG files in which something is written all the time: by Python at every import
#: of a changed module, by Git, by our own stack.
RESTLESS = frozenset({"__pycache__", ".git", ".windtunnel"})
#: Python has it in each virtual environment (PEP 405).
MARK = "pyvenv.cfg"


class FolderWatch:
    """Compares the directories' modification times. A change inside a file goes unnoticed.

    Args:
        folder: the top folder. Links to directories are followed, as Airflow does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times: dict[str, int] = {}

    def changed(self) -> bool:
        """Whether a file may have been created or removed since the last call; True at first."""
        if self._times and self._is_unchanged():
            return False
        self._times = self._walk()
        return True

    def _is_unchanged(self) -> bool:
        try:
            for path, seen in self._times.items():
                if os.stat(path).st_mtime_ns != seen:  # noqa: PTH116 - of each of thousands
                    return False
        except OSError:
            return False  # a directory was removed
        return True

    def _walk(self) -> dict[str, int]:
        young = time.time_ns() - int(GRAIN_SECONDS * 1e9)
        times: dict[str, int] = {}
        seen: set[tuple[int, int]] = set()
        for path, directories, files in os.walk(self.folder, followlinks=True):
            try:
                info = os.stat(path)  # noqa: PTH116 - of each of thousands
            except OSError:
                continue
            if (info.st_dev, info.st_ino) in seen:  # a link to a folder above it
                directories.clear()
                continue
            seen.add((info.st_dev, info.st_ino))
            if MARK in files:
                directories.clear()
                continue
            directories[:] = [name for name in directories if name not in RESTLESS]
            times[path] = info.st_mtime_ns if info.st_mtime_ns < young else -1
        return times
