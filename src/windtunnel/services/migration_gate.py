"""Has the database been migrated in this run of process-compose? Said by `migrate`, waited for by what has loaded meanwhile.

Airflow's processes load for seconds; so they start beside the migration instead of after it, and wait here before they
first look at the database. Outside of process-compose (systemd, a shell) nothing is waited for: there the order is others'.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

from windtunnel.settings import Settings
from windtunnel.system import procfs

#: process-compose's process as the worker's supervisor, its child, sees it; handed on to Celery.
RUN = "WINDTUNNEL_RUN"
POLL_SECONDS = 0.05
SAY_AFTER_SECONDS = 60.0


def run_of(pid: int) -> str:
    """Names a run for good: a process and when it started."""
    found = procfs.read(pid)
    return f"{pid}:{found.start if found else 0}"


def _run(env: Mapping[str, str]) -> str:
    return env.get(RUN) or run_of(os.getppid())


def announce(settings: Settings) -> None:
    """The database is ready for the processes of this one's run of process-compose, if it has one."""
    if "PC_PROC_NAME" not in os.environ:
        return
    new = settings.run / f"migrated.{os.getpid()}"
    new.write_text(_run(os.environ))
    new.replace(settings.run / "migrated")


def wait(settings: Settings, meanwhile: Callable[[], object], env: Mapping[str, str] | None = None) -> bool:
    """Returns when the database is ready for this process; at once, and False, where process-compose did not start it.

    A migration that fails ends the whole stack, so this has no end of its own; after a minute it says what it waits for.

    Args:
        settings: of this process's stack.
        meanwhile: called first if there is anything to wait for.
        env: variables, `os.environ` by default.
    """
    env = os.environ if env is None else env
    if "PC_PROC_NAME" not in env:
        return False
    wanted = _run(env)
    if said_for(settings, wanted):
        return True
    start, said = time.monotonic(), False
    meanwhile()
    while not said_for(settings, wanted):
        if not said and time.monotonic() - start > SAY_AFTER_SECONDS:
            said = True
            print("windtunnel: loaded; waiting for the migration of the database", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)
    return True


def said_for(settings: Settings, run: str) -> bool:
    """Whether that run's database was said to be ready."""
    try:
        return (settings.run / "migrated").read_text() == run
    except OSError:
        return False
