"""A lock between commands of one stack.

process-compose renames replicas while it scales. Two scalings at once make it lose workers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from windtunnel.settings import Settings
from windtunnel.stack.say import say
from windtunnel.system.cache_folder import cache


@contextmanager
def exclusive(
    settings: Settings,
    waiting: Callable[[], None],
    name: str = "commands",
) -> Iterator[None]:
    """Hold one of the stack's locks; the kernel frees it when this process dies.

    Args:
        waiting: called once when another command has the lock.
    """
    with open(settings.run / f"{name}.lock", "w") as file:
        _hold(file, waiting)
        yield


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
