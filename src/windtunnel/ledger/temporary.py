"""The temporary folder of a Celery main process.

billiard makes the pool's shared memory in the folder of `multiprocessing.util.get_temp_dir`, named
pymp-*. That folder goes away only at a clean exit, so each killed worker would leave one.
"""

from __future__ import annotations

import multiprocessing.util
import shutil
from pathlib import Path

from windtunnel.ledger.ledger import WorkerFiles, all_workers

PREFIX = "pymp-"


def note(files: WorkerFiles) -> None:
    """In Celery's main process: makes the folder and writes down its path."""
    files.temporary.write_text(multiprocessing.util.get_temp_dir())


def remove(files: WorkerFiles) -> None:
    """When no process of that Celery is left: in its supervisor, or behind a dead supervisor."""
    try:
        folder = Path(files.temporary.read_text())
        if folder.name.startswith(PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
    except (OSError, ValueError):  # none was written down, or the record is damaged
        return
    files.temporary.unlink(missing_ok=True)


def remove_all(run: Path) -> None:
    """Of every worker, when no process of the stack is left.

    Args:
        run: the folder of that name in the state folder.
    """
    for files in all_workers(run):
        remove(files)
