"""Whether the database has been migrated in this run of process-compose.

`migrate` announces it. Airflow's processes load for seconds, so they start beside the migration
instead of after it, and wait here before they first use the database. Outside of process-compose
(systemd, a shell) they do not wait here: systemd or the person gives the order.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

from windtunnel.settings import Settings
from windtunnel.system import procfs

#: Names process-compose's process. The worker's supervisor, its child, sets it for Celery.
RUN = "WINDTUNNEL_RUN"
POLL_SECONDS = 0.05
SAY_AFTER_SECONDS = 60.0


def run_of(pid: int) -> str:
    """A unique name of a run: process-compose's process id and its start."""
    found = procfs.read(pid)
    return f"{pid}:{found.start if found else 0}"


def _run(env: Mapping[str, str]) -> str:
    return env.get(RUN) or run_of(os.getppid())


def announce(settings: Settings) -> None:
    """Writes that the database is ready for the processes of this run of process-compose.

    Does nothing outside of process-compose.
    """
    if "PC_PROC_NAME" not in os.environ:
        return
    new = settings.run / f"migrated.{os.getpid()}"
    new.write_text(_run(os.environ))
    new.replace(settings.run / "migrated")


def is_done(settings: Settings, pid: int) -> bool:
    """Whether the database is ready in the run of the process-compose with this process id."""
    try:
        return (settings.run / "migrated").read_text() == run_of(pid)
    except OSError:
        return False


def wait(
    settings: Settings,
    meanwhile: Callable[[], object],
    env: Mapping[str, str] | None = None,
) -> bool:
    """Returns True when the database is ready for this process.

    Returns False at once where process-compose did not start this process. A migration that fails
    ends the whole stack, so this waits without a timeout. After a minute it prints the reason.

    Args:
        settings: of this process's stack.
        meanwhile: called first if the database is not ready yet.
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
            text = "windtunnel: loaded; waiting for the migration of the database"
            print(text, file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)
    return True


def said_for(settings: Settings, run: str) -> bool:
    """Whether `announce` has written that the database is ready for that run."""
    try:
        return (settings.run / "migrated").read_text() == run
    except OSError:
        return False
