"""Patches of the scheduler."""

from __future__ import annotations

import functools
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from windtunnel.patches.base import Unfit, parameters, postgresql_url
from windtunnel.patches.registry import Replacements, patch

if TYPE_CHECKING:
    from windtunnel.patches.scheduler_rounds import Rounds


RUNNER = "airflow.jobs.scheduler_job_runner"


@patch(
    "speed",
    f"{RUNNER}:time",
    f"{RUNNER}:SchedulerJobRunner._schedule_all_dag_runs",
    f"{RUNNER}:SchedulerJobRunner._do_scheduling",
    tested="apache-airflow 3.0 to 3.3",
    components=("scheduler",),
    late=("scheduler",),
)
def wake_scheduler() -> Replacements:
    """The scheduler looks for work as soon as the database notifies it of some, and not in between.

    Cause: the loop ends with `time.sleep(scheduler_idle_sleep_time)`; a chain of tasks pays that
    once per task (40 tasks: 45 s). And after every round that did anything it looks through all
    runs again, twice for each task that ends. Ours: the name `time` inside that one module is a
    stand-in. Its `sleep` waits for a notification (windtunnel.services.notify_triggers) as long as
    the original sleep lasts; on any trouble it is a plain sleep. `_do_scheduling` is left out while
    no notification came (windtunnel.patches.scheduler_rounds).
    """
    module: ModuleType | None = sys.modules.get(RUNNER)
    if module is None:
        raise Unfit("the scheduler's module is not loaded yet")
    if module.__dict__.get("time") is not time:
        raise Unfit("the scheduler's module does not use the name `time` as before")
    from airflow.configuration import conf

    from windtunnel.patches.scheduler_rounds import Rounds
    from windtunnel.services.database_notify import Listener

    url = postgresql_url()
    rounds = Rounds(Listener(url), conf.getfloat("scheduler", "scheduler_idle_sleep_time"))
    runner = getattr(module, "SchedulerJobRunner", None)
    examine, schedule = _without_idle_rounds(runner, rounds)

    class WakingTime(ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            return getattr(time, attribute)

        def sleep(self, seconds: float) -> None:
            rounds.sleep(seconds)

    return {
        f"{RUNNER}:time": WakingTime("time"),
        f"{RUNNER}:SchedulerJobRunner._schedule_all_dag_runs": examine,
        f"{RUNNER}:SchedulerJobRunner._do_scheduling": schedule,
    }


def _without_idle_rounds(runner: Any, rounds: Rounds) -> tuple[Any, Any]:
    """Replacements of `_schedule_all_dag_runs` and `_do_scheduling` that leave out idle rounds.

    Raises `Unfit`.
    """
    schedule = getattr(runner, "_do_scheduling", None)
    examine = getattr(runner, "_schedule_all_dag_runs", None)
    if schedule is None or examine is None:
        raise Unfit("the scheduler's loop looks different")
    fits = parameters(schedule) == ["self", "session"]
    fits = fits and parameters(examine) == ["self", "guard", "dag_runs", "session"]
    if not fits:
        raise Unfit("the scheduler's steps take other arguments")
    from airflow.configuration import conf
    from airflow.models.dagrun import DagRun

    most_runs = DagRun.DEFAULT_DAGRUNS_TO_EXAMINE
    most_tasks = conf.getint("scheduler", "max_tis_per_query")
    parallelism = conf.getint("core", "parallelism")
    examined = 0

    @functools.wraps(examine)
    def _schedule_all_dag_runs(self: Any, guard: Any, dag_runs: Any, session: Any) -> Any:
        nonlocal examined
        dag_runs = list(dag_runs)
        examined = len(dag_runs)
        return examine(self, guard, dag_runs, session)

    @functools.wraps(schedule)
    def _do_scheduling(self: Any, session: Any) -> int:
        nonlocal examined
        # Airflow 3.1 keeps them at the job.
        executors = self.executors if hasattr(self, "executors") else self.job.executors
        free = sum(executor.slots_available for executor in executors)
        # With nearly all slots taken the workers are busy, so it does not look at each task's end.
        if not rounds.look(room=free * 4 > parallelism):
            return 0
        rounds.begin()
        examined = most_runs  # an exception before the count means that runs are left
        queued: int = schedule(self, session)
        # Where a limit was met more may be waiting: the database does not notify of a free slot.
        whole = examined < most_runs and queued < min(most_tasks or free, free)
        full = queued >= free and free * 4 <= parallelism
        rounds.end(queued=queued, whole=whole, full=full)
        return queued

    return _schedule_all_dag_runs, _do_scheduling


@patch(
    "speed",
    "celery.backends.database.session:SessionManager.__init__",
    tested="celery 5.3 to 5.6",
    components=("scheduler",),
    late=("scheduler",),
)
def keep_result_connection() -> Replacements:
    """The scheduler asks Celery's result table over one connection instead of a new one each time.

    Cause: `SessionManager.get_engine` (celery/backends/database/session.py) pools connections only
    in forked processes. The scheduler is none, so each of its rounds connects, logs in and asks
    PostgreSQL for its types (5 ms and a server process). Ours: the manager's `forked` is set.
    `database_engine_options` has pool_pre_ping.
    """
    from celery.backends.database.session import SessionManager

    if SessionManager().forked is not False:
        raise Unfit("SessionManager looks different")
    original = SessionManager.__init__

    @functools.wraps(original)
    def __init__(self: Any) -> None:
        original(self)
        self.forked = True

    return {"celery.backends.database.session:SessionManager.__init__": __init__}
