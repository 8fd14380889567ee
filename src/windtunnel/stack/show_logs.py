"""`windtunnel logs`: the logs of processes, also of a stack that has ended, and those of tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from windtunnel.clients.airflow import Airflow, ApiError, TaskInstance
from windtunnel.clients.process_compose import node
from windtunnel.errors import UsageError
from windtunnel.settings import Settings
from windtunnel.stack import traceback_text
from windtunnel.stack.run_dag import no_dag

#: The newest run of a DAG.
LATEST = "latest"
NOT_FOUND = 404
#: Runs that are named where the wanted one does not exist.
RUNS_SHOWN = 5


def follow(settings: Settings, name: str | None, lines: int, following: bool) -> int:
    """Become `tail` for one process's log, or for all of them.

    Raises:
        UsageError: there is no such log.
    """
    known = {file.stem: file for file in sorted(settings.logs.glob("*.log"))}
    if not known:
        raise UsageError(f"there is no log in {settings.logs}: start the stack first")
    files = list(known.values())
    if name is not None:
        file = known.get(name) or known.get(node(name))
        if file is None:
            raise UsageError(f"there is no log of {name!r}; there are {', '.join(known)}")
        files = [file]
    words = ["tail", "-n", str(lines)]
    if following:
        # By name: process-compose rotates the files.
        words.append("-F")
    os.execvp("tail", [*words, "--", *map(str, files)])
    raise AssertionError("unreachable")


def of_task(settings: Settings, dag_id: str, run_id: str, task_id: str) -> Iterator[str]:
    """The lines of the task's last try, oldest first.

    Raises:
        UsageError: there is no such DAG, run or task.
    """
    airflow = Airflow(settings)
    if airflow.dag(dag_id) is None:
        raise no_dag(airflow, dag_id)
    if run_id == LATEST:
        newest = airflow.latest_run(dag_id)
        if newest is None:
            raise UsageError(f"{dag_id} has no run: start one with `windtunnel run {dag_id}`")
        run_id = newest
    tasks = _tasks(airflow, dag_id, run_id)
    found = next((task for task in tasks if task.label == task_id), None)
    if found is None:
        names = ", ".join(sorted({task.label for task in tasks})) or "none"
        raise UsageError(f"{dag_id} {run_id} has no task {task_id!r}; it has {names}")
    if found.try_number == 0:
        raise UsageError(f"{task_id} of {run_id} has not begun ({found.state or 'no state'})")
    events = airflow.log_events(dag_id, run_id, found.task_id, found.try_number, found.map_index)
    for event in events:
        yield from _lines(event)


def _lines(event: Mapping[str, Any]) -> Iterator[str]:
    level = str(event.get("level") or "").upper()
    shown = level if level in ("WARNING", "ERROR", "CRITICAL") else ""
    parts = (event.get("timestamp"), shown, event.get("event", event))
    yield " ".join(str(part) for part in parts if part)
    yield from traceback_text.lines(event.get("error_detail"))


def _tasks(airflow: Airflow, dag_id: str, run_id: str) -> list[TaskInstance]:
    try:
        return airflow.task_instances(dag_id, run_id)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
    runs = airflow.newest_runs(dag_id, RUNS_SHOWN)
    known = ", ".join(runs) or "none"
    raise UsageError(f"{dag_id} has no run {run_id!r}; the newest: {known}")
