"""The text of a failed assertion: exceptions, logs, and what the stack reported meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.errors import WindtunnelError
from windtunnel.health import status
from windtunnel.settings import Settings
from windtunnel.stack import run_dag
from windtunnel.stack.task_error import read
from windtunnel.system import events

#: The last lines of a task's log.
LOG_LINES = 30
#: Tasks of other runs that are named.
OTHERS = 5


def explain(
    airflow: Airflow, dag_id: str, run_id: str, tasks: Iterable[TaskInstance], since: float
) -> str:
    """The failed tasks of a run, for the person who reads the test's output.

    Args:
        since: the beginning of the run, in Unix seconds.
    """
    parts: list[str] = []
    for task in tasks:
        if task.state == "failed":
            parts += _failed(airflow, dag_id, run_id, task)
    reported = list(incidents(airflow.settings, since, time.time()))
    if reported:
        parts += ["the stack reported meanwhile:", *(f"    {line}" for line in reported)]
    return "\n".join(parts)


def incidents(settings: Settings, since: float, until: float) -> Iterator[str]:
    """What the components reported between two times, in Unix seconds."""
    for event in events.read(settings.events):
        if since <= event["time"] <= until:
            clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
            yield f"{clock} {event.get('component')}: {event.get('text')}"


def obstacles(airflow: Airflow, run_id: str) -> Iterator[str]:
    """Why the tasks of a run may wait: problems of the stack, and tasks of other runs."""
    with suppress(WindtunnelError):
        for problem in status.collect(airflow.settings).problems:
            yield f"    {problem.part}: {problem.what}"
    with suppress(WindtunnelError):
        path = "/dags/~/dagRuns/~/taskInstances"
        rows = airflow.pages(path, "task_instances", state=["running"])
        for row in [row for row in rows if row["dag_run_id"] != run_id][:OTHERS]:
            where = f"on {row['hostname']}, run {row['dag_run_id']}"
            yield f"    {row['dag_id']}.{row['task_id']} runs {where}"


def _failed(airflow: Airflow, dag_id: str, run_id: str, task: TaskInstance) -> Iterator[str]:
    place = (dag_id, run_id, task.task_id, task.try_number, task.map_index)
    try:
        # The log below has the last output.
        yield run_dag.describe(task, replace(read(airflow.log_events(*place)), output=[]))
        # Without the marks that fold a part of the log in Airflow's UI.
        lines = [x for x in airflow.log(*place).splitlines() if not x.startswith("::")]
    except WindtunnelError as error:
        lines = [f"it cannot be read: {error}"]
    yield f"log of {task.label}, try {task.try_number}:"
    yield from (f"    {line}" for line in lines[-LOG_LINES:])
