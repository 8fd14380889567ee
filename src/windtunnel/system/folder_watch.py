"""Have files come or gone below a folder? Asked of its directories alone: a venv has ten files in each."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Two changes this close together may leave one time stamp (a tick of the kernel is 4 ms; network file systems are coarser).
GRAIN_SECONDS = 2.0


class FolderWatch:
    """Compares the directories' change times. What changes inside a file is not seen.

    Args:
        folder: with everything below it; links to directories are followed, as Airflow does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times: dict[str, int] = {}

    def changed(self) -> bool:
        """Whether an entry of a directory may have come or gone since the last call; True at the first."""
        try:
            if self._times and all(os.stat(path).st_mtime_ns == seen for path, seen in self._times.items()):  # noqa: PTH116
                return False
        except OSError:
            pass  # a directory has gone
        self._times = self._walk()
        return True

    def _walk(self) -> dict[str, int]:
        young = time.time_ns() - int(GRAIN_SECONDS * 1e9)
        times: dict[str, int] = {}
        seen: set[tuple[int, int]] = set()
        for path, directories, _ in os.walk(self.folder, followlinks=True):
            try:
                info = os.stat(path)  # noqa: PTH116 - of each of thousands
            except OSError:
                continue
            if (info.st_dev, info.st_ino) in seen:  # a link that leads back
                directories.clear()
                continue
            seen.add((info.st_dev, info.st_ino))
            # Python writes there whenever something is imported.
            directories[:] = [name for name in directories if name != "__pycache__"]
            times[path] = info.st_mtime_ns if info.st_mtime_ns < young else -1
        return times
