"""Lists the tasks with a live process on this machine.

It asks neither Airflow nor the broker: their view of a task may be old.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from windtunnel.ledger import ledger
from windtunnel.ledger.survivors import Survivors
from windtunnel.system import procfs


def tasks(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Celery id and ledger entry of each such task.

    Its pool process runs, or a process of it could not be killed.

    Args:
        run: the folder of that name in the state folder.
    """
    for files in ledger.all_workers(run):
        survivors = Survivors.written(ledger.read(files.supervisor))
        for task_id, entry in files.in_hand().items():
            runs = procfs.alive(ledger.number(entry, "pid"), ledger.number(entry, "start"))
            if runs or survivors.hold(task_id):
                yield task_id, entry


def written_down(run: Path) -> set[str]:
    """Celery ids of all tasks that workers of this machine have received and not finished."""
    return {task_id for files in ledger.all_workers(run) for task_id in files.in_hand()}
