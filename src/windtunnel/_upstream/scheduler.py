"""Patches of the scheduler."""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from windtunnel._upstream.base import parameters, postgresql_url, skip

if TYPE_CHECKING:
    from windtunnel.rounds import Rounds


def wake_scheduler() -> bool:
    """The scheduler looks for work as soon as the database says that there is some, and not in between.

    Cause: the loop ends with `time.sleep(scheduler_idle_sleep_time)`; a chain of tasks pays that once per task (40 tasks: 45 s).
    And after every round that did anything it looks through all runs again, twice for each task that ends.
    For: apache-airflow 3.0 to 3.3. Ours: the name `time` inside that one module is a stand-in whose `sleep` waits for
    NOTIFY (triggers: windtunnel.wake) for as long as the sleep would have lasted, and which sleeps plainly on any trouble;
    `_do_scheduling` is left out while there was nothing to hear (windtunnel.rounds).
    Returns whether it was applied.
    """
    name = "wake_scheduler"
    module: ModuleType | None = sys.modules.get("airflow.jobs.scheduler_job_runner")
    if module is None:
        return skip(name, "the scheduler's module is not loaded yet")
    if module.__dict__.get("time") is not time:
        return skip(name, "the scheduler's module does not use the name `time` as before")
    from airflow.configuration import conf

    from windtunnel.rounds import Rounds
    from windtunnel.wake import Alarm

    if (url := postgresql_url()) is None:
        return skip(name, "the database is not PostgreSQL")
    rounds = Rounds(Alarm(url), conf.getfloat("scheduler", "scheduler_idle_sleep_time"))

    class WakingTime(ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            return getattr(time, attribute)

        def sleep(self, seconds: float) -> None:
            rounds.sleep(seconds)

    module.__dict__["time"] = WakingTime("time")
    return _leave_out_idle_rounds(name, getattr(module, "SchedulerJobRunner", None), rounds)


def _leave_out_idle_rounds(name: str, runner: Any, rounds: Rounds) -> bool:
    schedule, examine = getattr(runner, "_do_scheduling", None), getattr(runner, "_schedule_all_dag_runs", None)
    if schedule is None or examine is None:
        return skip(name, "the scheduler's loop looks different: it is woken, and looks in every round")
    if parameters(schedule) != ["self", "session"] or parameters(examine) != ["self", "guard", "dag_runs", "session"]:
        return skip(name, "the scheduler's steps take other arguments: it is woken, and looks in every round")
    from airflow.configuration import conf
    from airflow.models.dagrun import DagRun

    most_runs = DagRun.DEFAULT_DAGRUNS_TO_EXAMINE
    most_tasks = conf.getint("scheduler", "max_tis_per_query")
    parallelism = conf.getint("core", "parallelism")
    examined = 0

    def _schedule_all_dag_runs(self: Any, guard: Any, dag_runs: Any, session: Any) -> Any:
        nonlocal examined
        dag_runs = list(dag_runs)
        examined = len(dag_runs)
        return examine(self, guard, dag_runs, session)

    def _do_scheduling(self: Any, session: Any) -> int:
        nonlocal examined
        free = sum(executor.slots_available for executor in self.executors)
        # With nearly all slots taken the workers have enough for a while: not one look for each task that ends.
        if not rounds.look(room=free * 4 > parallelism):
            return 0
        rounds.begin()
        examined = most_runs  # where it ends before it has counted, something is left
        queued: int = schedule(self, session)
        # A limit was met: more may be waiting, and what frees a slot of the executor is not told by the database.
        whole = examined < most_runs and queued < min(most_tasks or free, free)
        rounds.end(queued=queued, whole=whole, full=queued >= free and free * 4 <= parallelism)
        return queued

    runner._schedule_all_dag_runs = _schedule_all_dag_runs
    runner._do_scheduling = _do_scheduling
    return True


def keep_result_connection() -> bool:
    """The scheduler asks Celery's result table over one connection instead of a new one each time.

    Cause: `SessionManager.get_engine` (celery/backends/database/session.py) pools connections only in forked processes; the
    scheduler is none, so each of its rounds connects, logs in and asks PostgreSQL for its types (5 ms and a server process).
    For: Celery 5.3 to 5.6. Ours: the manager believes to be in a forked process. `database_engine_options` has pool_pre_ping.
    Returns whether it was applied.
    """
    name = "keep_result_connection"
    try:
        from celery.backends.database.session import SessionManager

        known = SessionManager().forked is False
    except (ImportError, AttributeError) as error:
        return skip(name, str(error))
    if not known:
        return skip(name, "SessionManager looks different")
    original = SessionManager.__init__

    def __init__(self: Any) -> None:
        original(self)
        self.forked = True

    SessionManager.__init__ = __init__
    return True


def health_server_ends_with_scheduler() -> bool:
    """A killed scheduler is seen to be dead, and started again within seconds.

    Fault: `airflow scheduler` forks its health-check server (scheduler_command.py, `_serve_health_check`), which survives
    SIGKILL of the scheduler, keeps port 8974, and keeps its standard output open: process-compose waits for the end of that
    pipe before it looks at the exit code, so nothing was started again for five minutes (until the probe gave up).
    For: apache-airflow 3.0 to 3.3, no upstream report found. Ours: what the scheduler forks is ended with it by the kernel.
    Returns whether it was applied.
    """
    if not sys.platform.startswith("linux"):
        return skip("health_server_ends_with_scheduler", "this platform has no PR_SET_PDEATHSIG")
    from windtunnel import procfs

    # The executor, and so this module, is loaded before that fork (Job() in scheduler_command.py).
    os.register_at_fork(after_in_child=procfs.die_with_parent)
    return True
