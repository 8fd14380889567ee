"""`windtunnel run`: trigger a DAG, follow the run to its end, and explain each failed task."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack.task_error import TaskError, read

POLL_SECONDS = 0.25
#: Airflow parses a new DAG file within `refresh_interval`. After this time it never will.
PARSE_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """The end of one run. `seconds` is the time from trigger to end."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    tasks: list[TaskInstance]

    def as_json(self, errors: list[tuple[TaskInstance, TaskError]]) -> dict[str, Any]:
        """`error` of a task is null when the task did not fail."""
        causes = {(task.task_id, task.map_index): error.as_json() for task, error in errors}
        tasks = []
        for task in self.tasks:
            cause = causes.get((task.task_id, task.map_index))
            tasks.append(vars(task) | {"error": cause})
        return {"version": 1, **vars(self), "seconds": round(self.seconds, 2), "tasks": tasks}


def _import_error(airflow: Airflow, dag_id: str, file: str | None) -> str | None:
    names = {f"{dag_id}.py"} | ({file} if file else set())
    for path, reason in airflow.import_errors():
        if path in names or path.rsplit("/", 1)[-1] in names:
            return f"{path} cannot be imported: {reason}"
    return None


def find_dag(settings: Settings, airflow: Airflow, dag_id: str, say: Callable[[str], None]) -> None:
    """Return when the DAG can be triggered.

    Raises:
        UsageError: there is no such DAG.
        WindtunnelError: its file cannot be imported, or it is paused.
    """
    saved = settings.dags / f"{dag_id}.py"
    end = time.monotonic() + PARSE_SECONDS
    said = False
    while True:
        dag = airflow.dag(dag_id)
        file = str(dag["relative_fileloc"]) if dag else None
        error = _import_error(airflow, dag_id, file)
        if error:
            raise WindtunnelError(f"{error}. Mend the file; it is read again within seconds")
        if dag is not None and not dag.get("is_stale"):
            if dag["is_paused"]:
                step = f"`airflow dags unpause {dag_id}`"
                raise WindtunnelError(f"DAG {dag_id!r} is paused, its runs would wait: {step}")
            return
        if not saved.is_file():
            raise no_dag(airflow, dag_id)
        if time.monotonic() > end:
            fault = f"{saved} defines no DAG {dag_id!r} (looked for {PARSE_SECONDS:.0f} s)"
            raise WindtunnelError(f"{fault}: {_unread(saved)}")
        if not said:
            said = True
            say(f"waiting for the DAG processor to read {saved.name}")
        time.sleep(POLL_SECONDS)


def _unread(file: Path) -> str:
    """Why Airflow has not taken up a file; `might_contain_dag_via_default_heuristic` skips some."""
    text = file.read_text(errors="replace").lower()
    if "airflow" in text and "dag" in text:
        return "see `windtunnel logs dag-processor`, and the names in the file"
    return "Airflow reads only files that contain the words `airflow` and `dag`"


def no_dag(airflow: Airflow, dag_id: str, where: str = "") -> UsageError:
    """The refusal of a DAG that does not exist, with those that do.

    Args:
        where: the folders that were looked through, where that is news.
    """
    known = [str(row["dag_id"]) for row in airflow.pages("/dags", "dags")]
    near = difflib.get_close_matches(dag_id, known, n=1)
    hint = f"known: {', '.join(sorted(known)) or 'none'}"
    if near:
        hint = f"did you mean {near[0]!r}?"
    broken = [path for path, _ in airflow.import_errors()]
    if broken:
        hint += f"; these files cannot be imported and may hold it: {', '.join(broken[:5])}"
    place = f" in {where}" if where else ""
    return UsageError(f"there is no DAG {dag_id!r}{place}; {hint}")


def summary(tasks: list[TaskInstance]) -> str:
    """Counts by state, such as `3 success, 1 running`."""
    counts = Counter(task.state or "waiting" for task in tasks)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no task yet"


def run(
    settings: Settings,
    dag_id: str,
    conf: dict[str, Any],
    timeout: float,
    say: Callable[[str], None],
) -> Outcome:
    """Trigger one run and follow it.

    Raises:
        WindtunnelError: with code 124 when the run has not ended after `timeout` seconds. The run
            itself goes on.
    """
    airflow = Airflow(settings)
    find_dag(settings, airflow, dag_id, say)
    run_id = airflow.trigger(dag_id, conf)
    return follow(airflow, dag_id, run_id, timeout, say)


def follow(
    airflow: Airflow,
    dag_id: str,
    run_id: str,
    timeout: float,
    say: Callable[[str], None],
    look: Callable[[], None] = lambda: None,
) -> Outcome:
    """Follow a run that was triggered just now.

    Args:
        look: called at each look.

    Raises:
        WindtunnelError: as `run`.
    """
    start = time.monotonic()
    say(f"{dag_id} {run_id} triggered")
    said = ""
    while True:
        look()
        state = airflow.run_state(dag_id, run_id)
        tasks = airflow.task_instances(dag_id, run_id)
        elapsed = time.monotonic() - start
        if state in ("success", "failed"):
            return Outcome(dag_id, run_id, state, elapsed, tasks)
        text = summary(tasks)
        if text != said:
            said = text
            say(f"{elapsed:5.1f} s  {text}")
        if elapsed > timeout:
            page = f"{airflow.settings.api_url}/dags/{dag_id}/runs/{run_id}"
            message = f"{dag_id} has not ended after {timeout:.0f} s ({text}); it goes on: {page}"
            raise WindtunnelError(message, Exit.TIMED_OUT)
        time.sleep(POLL_SECONDS)


def errors(settings: Settings, outcome: Outcome) -> list[tuple[TaskInstance, TaskError]]:
    """Each failed task with the cause in its log."""
    airflow = Airflow(settings)
    found = []
    for task in outcome.tasks:
        if task.state != "failed":
            continue
        try:
            events = airflow.log_events(
                outcome.dag_id,
                outcome.run_id,
                task.task_id,
                task.try_number,
                task.map_index,
            )
            error = read(events)
        except WindtunnelError as refused:
            error = TaskError(f"its log cannot be read: {refused}", [], [])
        found.append((task, error))
    return found


def describe(task: TaskInstance, error: TaskError) -> str:
    """The lines for a person about one failed task."""
    where = f"{task.hostname or 'no worker'}, try {task.try_number}"
    head = f"{task.label} failed on {where}: {error.summary}"
    return "\n".join([head, *(f"    {line}" for line in error.lines())])
