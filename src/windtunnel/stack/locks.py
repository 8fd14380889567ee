"""Locks between commands of one stack, and of all stacks of one user.

process-compose renames replicas while it scales. Two scalings at once make it lose workers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from windtunnel.services import state_folder
from windtunnel.settings import Settings
from windtunnel.stack.say import say
from windtunnel.system.cache_folder import cache

#: The open lock of a project that a command has left to the program which it has become.
KEPT = "WINDTUNNEL_PROJECT_LOCK"
_BUSY = "another `windtunnel up` or `check` of this project is at work; waiting for it"


@contextmanager
def exclusive(
    settings: Settings,
    waiting: Callable[[], None],
    name: str = "commands",
) -> Iterator[IO[str]]:
    """Hold one of the stack's locks; the kernel frees it when this process dies.

    Args:
        waiting: called once when another command has the lock.

    Yields:
        The locked file.
    """
    path = settings.run / f"{name}.lock"
    while True:
        with open(path, "w") as file:
            _hold(file, waiting)
            if _is_at(file.fileno(), path):
                yield file
                return
        # A `windtunnel reset` had the lock, and has deleted it with everything else.
        state_folder.folders(settings)


@contextmanager
def project(settings: Settings) -> Iterator[IO[str]]:
    """Hold the lock of a project's environment: nobody else makes, deletes or starts from it."""
    kept = os.environ.pop(KEPT, "")
    if kept.isdecimal() and _is_at(int(kept), settings.run / "project.lock"):
        os.set_inheritable(int(kept), False)
        with open(int(kept), "w") as file:
            yield file
        return
    with exclusive(settings, lambda: say(_BUSY), "project") as file:
        yield file


def keep(file: IO[str]) -> None:
    """Leave the lock of a project to the program that this process is about to become."""
    os.set_inheritable(file.fileno(), True)
    os.environ[KEPT] = str(file.fileno())


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether a file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _hold(file: IO[str], waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def starting(settings: Settings) -> Iterator[None]:
    """Hold the lock of a start: no second `up`, and no `down` that ends what is being started."""
    if not settings.run.is_dir():
        yield  # Nothing was ever started here.
        return

    def waiting() -> None:
        say("another command is starting or ending this stack; waiting for it")

    with exclusive(settings, waiting, name="start"):
        yield


@contextmanager
def choosing_ports() -> Iterator[None]:
    """Hold the lock of all stacks of this user while one of them chooses its ports and starts."""
    if os.environ.get("PORT_OFFSET", "").strip():
        yield  # There is nothing to choose.
        return
    try:
        cache().mkdir(parents=True, exist_ok=True)
        file = open(cache() / "ports.lock", "w")  # noqa: SIM115 # closed below
    except OSError:
        yield  # Without it two stacks that start at once may choose the same ports.
        return
    with file:
        _hold(file, lambda: say("another stack is starting; waiting until its ports are known"))
        yield
