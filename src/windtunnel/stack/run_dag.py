"""`windtunnel run`: trigger a DAG, follow it to its end, say what failed and why."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack.task_error import TaskError, read

POLL_SECONDS = 0.25
#: A DAG file that has just been saved is parsed within `refresh_interval`; more means that it cannot be.
PARSE_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """One run's end. `seconds` from trigger to end."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: list[TaskInstance]

    def as_json(self, errors: list[tuple[TaskInstance, TaskError]]) -> dict[str, Any]:
        """`error` of a task is null where it did not fail."""
        told = {(task.task_id, task.map_index): error.as_json() for task, error in errors}
        tasks = [vars(task) | {"error": told.get((task.task_id, task.map_index))} for task in self.tasks]
        return {"version": 1, **vars(self), "seconds": round(self.seconds, 2), "tasks": tasks}


def _import_error(airflow: Airflow, dag_id: str, file: str | None) -> str | None:
    names = {f"{dag_id}.py"} | ({file} if file else set())
    for path, reason in airflow.import_errors():
        if path in names or path.rsplit("/", 1)[-1] in names:
            return f"{path} cannot be imported: {reason}"
    return None


def find_dag(settings: Settings, airflow: Airflow, dag_id: str, say: Callable[[str], None]) -> None:
    """Returns when the DAG can be triggered.

    Raises:
        UsageError: there is no such DAG. WindtunnelError: its file cannot be imported, or it is paused.
    """
    saved = settings.dags / f"{dag_id}.py"
    end = time.monotonic() + PARSE_SECONDS
    said = False
    while True:
        dag = airflow.dag(dag_id)
        if error := _import_error(airflow, dag_id, str(dag["relative_fileloc"]) if dag else None):
            raise WindtunnelError(f"{error}. Mend the file; it is read again within seconds")
        if dag is not None and not dag.get("is_stale"):
            if dag["is_paused"]:
                raise WindtunnelError(f"DAG {dag_id!r} is paused, its runs would wait: `airflow dags unpause {dag_id}`")
            return
        if not saved.is_file():
            known = [str(row["dag_id"]) for row in airflow.pages("/dags", "dags")]
            near = difflib.get_close_matches(dag_id, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"there is no DAG {dag_id!r}; {hint}")
        if time.monotonic() > end:
            raise WindtunnelError(
                f"{saved} defines no DAG {dag_id!r} (looked for {PARSE_SECONDS:.0f} s): see `windtunnel status`; "
                "Airflow reads only files that contain the words `airflow` and `dag`"
            )
        if not said:
            said = True
            say(f"waiting for the DAG processor to read {saved.name}")
        time.sleep(POLL_SECONDS)


def summary(tasks: list[TaskInstance]) -> str:
    """Counts by state, such as `3 success, 1 running`."""
    counts = Counter(task.state or "waiting" for task in tasks)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no task yet"


def run(settings: Settings, dag_id: str, conf: dict[str, Any], timeout: float, say: Callable[[str], None]) -> Outcome:
    """Trigger one run and follow it.

    Raises:
        WindtunnelError: with code 124 when it has not ended after `timeout` seconds; the run itself goes on.
    """
    airflow = Airflow(settings)
    find_dag(settings, airflow, dag_id, say)
    start = time.monotonic()
    run_id = airflow.trigger(dag_id, conf)
    say(f"{dag_id} {run_id} triggered")
    said = ""
    while True:
        state = airflow.run_state(dag_id, run_id)
        tasks = airflow.task_instances(dag_id, run_id)
        elapsed = time.monotonic() - start
        if state in ("success", "failed"):
            return Outcome(dag_id, run_id, state, elapsed, tasks)
        if (text := summary(tasks)) != said:
            said = text
            say(f"{elapsed:5.1f} s  {text}")
        if elapsed > timeout:
            raise WindtunnelError(
                f"{dag_id} has not ended after {timeout:.0f} s ({text}); it goes on: {settings.api_url}/dags/{dag_id}/runs/{run_id}",
                Exit.TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)


def errors(settings: Settings, outcome: Outcome) -> list[tuple[TaskInstance, TaskError]]:
    """Each failed task with the cause that its log tells."""
    airflow = Airflow(settings)
    found = []
    for task in outcome.tasks:
        if task.state != "failed":
            continue
        try:
            error = read(airflow.log_events(outcome.dag_id, outcome.run_id, task.task_id, task.try_number, task.map_index))
        except WindtunnelError as refused:
            error = TaskError(f"its log cannot be read: {refused}", [], [])
        found.append((task, error))
    return found


def describe(task: TaskInstance, error: TaskError) -> str:
    """What a person reads about one failed task."""
    head = f"{task.label} failed on {task.hostname or 'no worker'}, try {task.try_number}: {error.summary}"
    return "\n".join([head, *(f"    {line}" for line in error.lines())])
