"""A lock between commands of one stack.

process-compose renames replicas while it scales. Two scalings at once make it lose workers.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from windtunnel.settings import Settings
from windtunnel.stack.say import say


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
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
