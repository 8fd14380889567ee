"""The temporary folder of a Celery main process.

billiard makes the pool's shared memory in the folder of `multiprocessing.util.get_temp_dir`, named
pymp-*. That folder goes away only at a clean exit, so each killed worker would leave one.
"""

from __future__ import annotations

import multiprocessing.util
import shutil
from pathlib import Path

from windtunnel.ledger.ledger import WorkerFiles

PREFIX = "pymp-"


def note(files: WorkerFiles) -> None:
    """In Celery's main process: makes the folder and writes down its path."""
    files.temporary.write_text(multiprocessing.util.get_temp_dir())


def remove(files: WorkerFiles) -> None:
    """In the supervisor, when no process of that Celery is left."""
    try:
        folder = Path(files.temporary.read_text())
        if folder.name.startswith(PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
    except (OSError, ValueError):  # none was written down, or the record is damaged
        return
    files.temporary.unlink(missing_ok=True)
