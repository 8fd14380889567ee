"""A private stack: one that a benchmark or a test session starts and throws away."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping

import psutil

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import leftovers

#: Variables that say which stack is meant, or how it is to be: the user's own must not reach the
#: private ones.
_OWN = (
    "WINDTUNNEL_",
    "PC_",
    "WORKER_",
    "WORKERS",
    "PORT_OFFSET",
    "DAGS_FOLDER",
    "BROKER",
    "DATABASE_URL",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
    "SPT_NOENV",
)
_KEPT = ("WINDTUNNEL_PROCESS_COMPOSE", "WINDTUNNEL_NO_NIX")
#: To end every process of a private stack.
END_SECONDS = 20.0


def clean_environment(env: Mapping[str, str], *, airflow: bool) -> dict[str, str]:
    """The caller's variables without those of a stack.

    Args:
        airflow: whether exported Airflow settings go along, as they do with `process-compose up`.
    """
    dropped = _OWN if airflow else (*_OWN, "AIRFLOW", "_AIRFLOW")
    return {
        name: value for name, value in env.items() if name in _KEPT or not name.startswith(dropped)
    }


def end(settings: Settings) -> None:
    """End every process of a private stack, also of one that is still starting.

    Raises:
        WindtunnelError: a process could not be ended.
    """
    last = time.monotonic() + END_SECONDS
    while found := [*_starting(settings), *leftovers.find(settings)]:
        if time.monotonic() > last:
            named = ", ".join(str(process.pid) for process in found)
            raise WindtunnelError(f"cannot end {named} of a private stack: end them by hand")
        # PostgreSQL is asked, so that it removes its shared memory; the rest is killed.
        leftovers.end(found)


def destroy(settings: Settings) -> None:
    """End a private stack and delete its state folder.

    Raises:
        WindtunnelError: as `end`.
    """
    end(settings)
    # Outside of the folder where that has a long path.
    settings.socket.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(settings.state)


def _starting(settings: Settings) -> list[psutil.Process]:
    """The commands that start this stack: they would go on after its end."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            named = process.environ().get("WINDTUNNEL_STATE") == str(settings.state)
            # A person may have exported the variable into a shell.
            if named and process.pid not in mine and process.terminal() is None:
                found.append(process)
    return found
