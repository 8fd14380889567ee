"""The text of a failed assertion: exceptions, logs, and what the stack reported meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import run_dag
from windtunnel.stack.task_error import read
from windtunnel.system import events

#: The last lines of a task's log.
LOG_LINES = 30


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


def _failed(airflow: Airflow, dag_id: str, run_id: str, task: TaskInstance) -> Iterator[str]:
    place = (dag_id, run_id, task.task_id, task.try_number, task.map_index)
    try:
        yield run_dag.describe(task, read(airflow.log_events(*place)))
        # Without the marks that fold a part of the log in Airflow's UI.
        lines = [x for x in airflow.log(*place).splitlines() if not x.startswith("::")]
    except WindtunnelError as error:
        lines = [f"it cannot be read: {error}"]
    yield f"log of {task.label}, try {task.try_number}:"
    yield from (f"    {line}" for line in lines[-LOG_LINES:])
