"""The result of a DAG run that has ended: states, tries, workers, XComs, logs.

Over 200 lines, because the results of a task and of its mapped copies refer to each other.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from windtunnel.clients.airflow import Airflow, TaskInstance, moment
from windtunnel.errors import WindtunnelError
from windtunnel.stack import run_dag
from windtunnel.stack.task_error import TaskError, log_text, read
from windtunnel.testing import failure

#: States of a run that does not change any more.
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Place:
    """Where a run is found. `began` is in Unix seconds."""

    airflow: Airflow
    dag_id: str
    run_id: str
    began: float

    @property
    def url(self) -> str:
        """The run's page in Airflow's UI."""
        return f"{self.airflow.settings.api_url}/dags/{self.dag_id}/runs/{self.run_id}"


@dataclass(frozen=True, repr=False)
class TaskResult:
    """One task at the end of its run."""

    place: Place
    instance: TaskInstance

    def __repr__(self) -> str:
        """What a failed assertion of pytest shows."""
        tries = "1 try" if self.tries == 1 else f"{self.tries} tries"
        task = f"{self.place.dag_id}.{self.instance.label}"
        return f"<TaskResult {task}: {self.state}, {tries}, {self.worker or 'no worker'}>"

    @property
    def state(self) -> str | None:
        return self.instance.state

    @property
    def success(self) -> bool:
        return self.state == "success"

    @property
    def tries(self) -> int:
        """How often it was tried; 0 for a task that never began."""
        return self.instance.try_number

    @property
    def worker(self) -> str | None:
        """The worker of the last try, such as `worker-0`."""
        return self.instance.hostname or None

    @property
    def duration(self) -> float | None:
        """Seconds of the last try; None where it has no beginning or no end."""
        start, end = moment(self.instance.start_date), moment(self.instance.end_date)
        return None if start is None or end is None else end - start

    @cached_property
    def xcom(self) -> Any:
        """What the task returned; None where it returned nothing."""
        where, task = self.place, self.instance
        return where.airflow.xcom(where.dag_id, where.run_id, task.task_id, task.map_index)

    @cached_property
    def log(self) -> str:
        """The log of the last try, with the exception that ended it."""
        return self.log_of(self.tries)

    def log_of(self, number: int) -> str:
        """The log of one try, counted from 1."""
        if not 1 <= number <= self.tries:
            return ""
        return log_text(self.place.airflow.log_events(*self._of_try(number)))

    @cached_property
    def error(self) -> TaskError:
        """The exception in the log of the last try."""
        return read(self.place.airflow.log_events(*self._of_try(self.tries)))

    def _of_try(self, number: int) -> tuple[str, str, str, int, int]:
        task = self.instance
        return self.place.dag_id, self.place.run_id, task.task_id, number, task.map_index


class RunResult:
    """A run that has ended. `result["task"]` is one of its tasks; the rest is by task id.

    The id of a mapped task has its index, as in `load[0]`.
    """

    def __init__(
        self,
        place: Place,
        state: str,
        seconds: float,
        tasks: list[TaskInstance],
        impatience: float | None = None,
    ) -> None:
        self.place, self.state = place, state
        #: The factor by which waiting was shortened (`Windtunnel.impatient`); None for none.
        self.impatience = impatience
        #: Seconds from the trigger to the end.
        self.duration = seconds
        self.tasks = {task.label: TaskResult(place, task) for task in tasks}

    def __repr__(self) -> str:
        return f"<RunResult {self.dag_id} {self.run_id}: {self.state}, {self.states}>"

    @property
    def dag_id(self) -> str:
        return self.place.dag_id

    @property
    def run_id(self) -> str:
        return self.place.run_id

    def __getitem__(self, label: str) -> TaskResult:
        if label not in self.tasks:
            raise no_task(self.place, label, list(self.tasks))
        return self.tasks[label]

    @property
    def success(self) -> bool:
        return self.state == "success"

    @property
    def states(self) -> dict[str, str | None]:
        return {label: task.state for label, task in self.tasks.items()}

    @property
    def tries(self) -> dict[str, int]:
        return {label: task.tries for label, task in self.tasks.items()}

    @property
    def workers(self) -> dict[str, str | None]:
        return {label: task.worker for label, task in self.tasks.items()}

    @property
    def durations(self) -> dict[str, float | None]:
        return {label: task.duration for label, task in self.tasks.items()}

    @property
    def logs(self) -> dict[str, str]:
        return {label: task.log for label, task in self.tasks.items() if task.tries}

    @property
    def xcoms(self) -> dict[str, Any]:
        """What each task returned, without those that returned nothing."""
        values = {label: task.xcom for label, task in self.tasks.items()}
        return {label: value for label, value in values.items() if value is not None}

    @property
    def order(self) -> list[str]:
        """The tasks that began, in the order in which their last try began."""
        begun = [(moment(t.instance.start_date), label) for label, t in self.tasks.items()]
        return [label for start, label in sorted((s, label) for s, label in begun if s is not None)]

    def assert_success(self) -> RunResult:
        """Return this result.

        Raises:
            AssertionError: the run failed. The text has the exception and the log of each failed
                task, and what the stack reported meanwhile.
        """
        __tracebackhide__ = True
        if self.success:
            return self
        where, tasks = self.place, [task.instance for task in self.tasks.values()]
        head = f"{self.dag_id} {self.run_id} is {self.state} after {self.duration:.1f} s"
        if self.impatience is not None:
            head += f", with waiting {self.impatience:g} times shorter"
        why = failure.explain(where.airflow, self.dag_id, self.run_id, tasks, where.began)
        raise AssertionError(f"{head} ({run_dag.summary(tasks)}): {where.url}\n{why}")


def no_task(run: Place, label: str, known: list[str]) -> WindtunnelError:
    """The error for a task that the run does not have."""
    mapped: dict[str, list[str]] = {}
    for each in known:
        if each.endswith("]"):
            mapped.setdefault(each.rpartition("[")[0], []).append(each)
    where = f"{run.dag_id} {run.run_id}"
    if label in mapped:
        return WindtunnelError(f"{where}: {label!r} is mapped: {_range(mapped[label])}")
    names = [each for each in known if not each.endswith("]")] + list(mapped)
    hint = f"it has {', '.join(sorted(names)) or 'none'}"
    if near := difflib.get_close_matches(label, [*names, *known], n=1):
        indexes = f" It is mapped: {_range(mapped[near[0]])}" if near[0] in mapped else ""
        hint = f"did you mean {near[0]!r}?{indexes}"
    return WindtunnelError(f"{where} has no task {label!r}: {hint}")


def _range(labels: list[str]) -> str:
    """The labels of a mapped task."""
    ordered = sorted(labels, key=lambda label: (len(label), label))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
