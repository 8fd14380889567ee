"""A DAG run that a test started, and its tasks while it runs."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from windtunnel.clients.airflow import Airflow, ApiError, TaskInstance
from windtunnel.errors import NoStackError, UsageError
from windtunnel.runtime import impatience_file
from windtunnel.stack import run_dag
from windtunnel.system.waiting import wait_for
from windtunnel.testing import failure
from windtunnel.testing.results import ENDED, Place, RunResult, no_task

T = TypeVar("T")
POLL_SECONDS = 0.1
#: States of a task that do not change any more.
TASK_ENDED = (*ENDED, "skipped", "upstream_failed", "removed")
_BEFORE = ("scheduled", "queued", "running", "restarting", "deferred", "awaiting_input")
#: Every state of a task (airflow.utils.state.TaskInstanceState).
STATES = frozenset((*TASK_ENDED, *_BEFORE, "up_for_retry", "up_for_reschedule"))
#: The default of every `timeout`, in seconds.
TIMEOUT = 120.0


class Task:
    """One task of a run, or one index of a mapped task. Each property is asked anew.

    After the end of a run, take `result["task"]`: its values are those of the end.
    """

    def __init__(self, run: DagRun, label: str) -> None:
        self.run, self.label = run, label

    def __repr__(self) -> str:
        return f"<Task {self.run.dag_id}.{self.label}: {self.state}>"

    def instance(self) -> TaskInstance:
        """What Airflow's API says about the last try.

        Raises:
            WindtunnelError: the run has no such task.
        """
        known = {task.label: task for task in self.run.instances()}
        if self.label not in known:
            raise no_task(self.run.place, self.label, list(known))
        return known[self.label]

    @property
    def state(self) -> str | None:
        """None until the scheduler has looked at the task."""
        return self.instance().state

    @property
    def tries(self) -> int:
        """The number of the last try; 0 before the first."""
        return self.instance().try_number

    @property
    def worker(self) -> str | None:
        """The worker of the last try, such as `worker-0`."""
        return self.instance().hostname or None


class DagRun:
    """A run that was triggered. `run["task"]` is one of its tasks."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self.airflow, self.dag_id, self.run_id = airflow, dag_id, run_id
        self._since = time.monotonic()
        self.place = Place(airflow, dag_id, run_id, time.time())
        self._impatience = 1.0
        self._note_impatience()

    def __repr__(self) -> str:
        return f"<DagRun {self.dag_id} {self.run_id}>"

    def __getitem__(self, label: str) -> Task:
        return Task(self, label)

    @property
    def state(self) -> str:
        """queued, running, success or failed."""
        return self.airflow.run_state(self.dag_id, self.run_id)

    @property
    def url(self) -> str:
        """The run's page in Airflow's UI."""
        return self.place.url

    def instances(self) -> list[TaskInstance]:
        """Every task as Airflow's API shows it."""
        return self.airflow.task_instances(self.dag_id, self.run_id)

    def wait_for(self, label: str, *states: str, timeout: float = TIMEOUT) -> Task:
        """Return the task as soon as it is in one of the states, such as "running".

        The id of a mapped task stands for all of them. Each has then been in such a state. A part
        of the stack may be away meanwhile.

        Raises:
            AssertionError: the task or the run ended otherwise, or `timeout` seconds have passed.
            UsageError: there is no such state.
        """
        __tracebackhide__ = True
        if not states or not STATES.issuperset(states):
            given = ", ".join(repr(state) for state in states if state not in STATES) or "nothing"
            raise UsageError(f"{given} is no state of a task; choose {', '.join(sorted(STATES))}")
        wanted = " or ".join(states)
        seen: str | None = None
        reached_before: set[str] = set()

        def reached() -> bool:
            nonlocal seen
            run_state = _answer(lambda: self.state)
            tasks = _answer(self.instances) or []
            found = [task for task in tasks if label in (task.label, task.task_id)]
            if not found:
                if run_state in ENDED:
                    raise no_task(self.place, label, [task.label for task in tasks])
                return False
            reached_before.update(task.label for task in found if task.state in states)
            missing = [task for task in found if task.label not in reached_before]
            for task in missing:
                seen = task.state
                if seen in TASK_ENDED or run_state in ENDED:
                    self._fail(f"{task.label} is {seen} and was not seen {wanted}")
            return not missing

        if not wait_for(reached, timeout, POLL_SECONDS):
            self._fail(f"{label} is not {wanted} after {timeout:.0f} s, but {seen or 'waiting'}")
        return Task(self, label)

    def result(self, timeout: float = TIMEOUT) -> RunResult:
        """Wait for the end of the run. A part of the stack may be away meanwhile.

        Raises:
            AssertionError: `timeout` seconds have passed. The run goes on.
        """
        __tracebackhide__ = True
        state: str | None = None

        def ended() -> bool:
            nonlocal state
            self._note_impatience()
            state = _answer(lambda: self.state)
            return state in ENDED

        if not wait_for(ended, timeout, POLL_SECONDS):
            self._fail(f"the run has not ended after {timeout:.0f} s, it is {state or 'not known'}")
        seconds = time.monotonic() - self._since
        factor = self._impatience if self._impatience > 1 else None
        return RunResult(self.place, str(state), seconds, self.instances(), factor)

    def _note_impatience(self) -> None:
        # Also a block that began or ended during the run has shortened something.
        now = impatience_file.read(self.airflow.settings.run)
        self._impatience = max(self._impatience, now.factor)

    def _fail(self, text: str) -> None:
        __tracebackhide__ = True
        tasks = _answer(self.instances) or []
        head = f"{self.dag_id} {self.run_id}: {text} ({run_dag.summary(tasks)}): {self.url}"
        waits = any(task.state in (None, "scheduled", "queued") for task in tasks)
        why = failure.obstacles(self.airflow, self.run_id) if waits else []
        raise AssertionError("\n".join([head, *why]))


def _answer(call: Callable[[], T]) -> T | None:
    """What the API says; None while it or the database is away, which a test may have caused."""
    try:
        return call()
    except NoStackError:
        return None
    except ApiError as error:
        if error.status >= 500:
            return None
        raise


def new_run_id() -> str:
    """A run id with the running test's name, by which a person finds the run in the UI."""
    node = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return f"{name_in_ids(node)}__{uuid.uuid4().hex[:8]}"


def name_in_ids(node: str) -> str:
    """The name of a test, by pytest's node id, as the ids of its runs begin."""
    name = Path(node.partition("::")[0]).stem + "." + node.rpartition("::")[2]
    return re.sub(r"[^A-Za-z0-9_.~-]+", "_", name)[:150].strip("._") or "test"
