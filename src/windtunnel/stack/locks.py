"""A lock between commands of one stack: scaling twice at once would lose track of workers (process-compose's trap #2)."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from windtunnel.settings import Settings


@contextmanager
def exclusive(settings: Settings, waiting: Callable[[], None], name: str = "commands") -> Iterator[None]:
    """Hold one of the stack's locks; `waiting` is called once where another command has it. Freed by the kernel if we die."""
    with open(settings.run / f"{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
