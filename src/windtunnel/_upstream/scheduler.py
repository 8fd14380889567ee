"""Patches of the scheduler."""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType
from typing import Any

from windtunnel._upstream.base import skip


def wake_scheduler() -> bool:
    """The scheduler's idle sleep ends as soon as the database says that there is work.

    Cause: the loop ends with `time.sleep(scheduler_idle_sleep_time)`; a chain of tasks pays that once per task (40 tasks: 45 s).
    For: apache-airflow 3.0 to 3.3. Ours: the name `time` inside that one module is a stand-in whose `sleep` waits for
    NOTIFY (triggers: windtunnel.wake) for as long as the sleep would have lasted, and which sleeps plainly on any trouble.
    Returns whether it was applied.
    """
    name = "wake_scheduler"
    module: ModuleType | None = sys.modules.get("airflow.jobs.scheduler_job_runner")
    if module is None:
        return skip(name, "the scheduler's module is not loaded yet")
    if module.__dict__.get("time") is not time:
        return skip(name, "the scheduler's module does not use the name `time` as before")
    from airflow.configuration import conf

    from windtunnel.wake import Alarm

    url = conf.get_mandatory_value("database", "sql_alchemy_conn")
    if not url.startswith("postgresql"):
        return skip(name, "the database is not PostgreSQL")
    alarm = Alarm(url)

    class WakingTime(ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            return getattr(time, attribute)

        def sleep(self, seconds: float) -> None:
            alarm.wait(seconds)

    module.__dict__["time"] = WakingTime("time")
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
