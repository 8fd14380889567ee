"""Turns of tests on one stack: a test that breaks or changes it runs alone.

The processes of pytest-xdist share the stack, and so do the sessions that reuse it or attach to it.
A worker that one test kills would cost another test's task a try. So tests share the stack, or one
test has it alone.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import IO

import pytest

from windtunnel.errors import UsageError

#: Methods of `Windtunnel` whose effect other tests would see.
CHANGING = frozenset(
    ("broken", "remote_worker", "scale", "pause", "unpause", "variable", "connection", "pool")
)
MARKER = "windtunnel_alone"


def is_alone(item: pytest.Item) -> bool:
    """Whether a test needs the stack for itself: it says so, or its text calls such a method.

    So may the text of a fixture that it uses.
    """
    if item.get_closest_marker(MARKER):
        return True
    used = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    fixtures = [found[-1].func for found in used.values() if "windtunnel" in found[-1].argnames]
    return any(_changes(each) for each in (getattr(item, "function", None), *fixtures))


def _changes(function: object) -> bool:
    code = getattr(function, "__code__", None)
    return isinstance(code, CodeType) and not CHANGING.isdisjoint(_names(code))


def _names(code: CodeType) -> set[str]:
    """The names that a function uses, with those of functions in it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


class Turn:
    """The turn of one test: it uses the stack with others, or alone.

    Not by `flock`: a process that a test has forked would hold the turn as long as it lives.
    """

    def __init__(self, alone: bool, may_wait: bool, say: Callable[[str], None]) -> None:
        """`may_wait`: whether a test may become alone while it runs, and waits for that.

        `say` is called with a line where the test has to wait.
        """
        self._alone, self._may_wait, self._say = alone, may_wait, say
        #: What the stack's tests lock, once it is known.
        self.folder: Path | None = None
        self._lock: IO[str] | None = None

    @property
    def has_begun(self) -> bool:
        return self._lock is not None

    def begin(self) -> None:
        """Wait until it is this test's turn."""
        if self._lock or self.folder is None:
            return
        # Who waits at the gate comes before the tests that would begin later.
        with open(self.folder / "gate.lock", "w+") as gate, contextlib.ExitStack() as undo:
            lock = undo.enter_context(open(self.folder / "turn.lock", "w+"))
            self._hold(gate, fcntl.LOCK_EX)
            self._hold(lock, fcntl.LOCK_EX if self._alone else fcntl.LOCK_SH)
            undo.pop_all()
        self._lock = lock

    def become_alone(self) -> bool:
        """Whether this test has the stack for itself, up to its end."""
        if self._may_wait and not (self._alone and self._lock):
            try:
                if self._lock:
                    self._hold(self._lock, fcntl.LOCK_EX)
            except OSError:
                # The kernel sees two that would wait for each other.
                return False
            self._alone = True
            self.begin()
        return self._alone and self.has_begun

    def end(self) -> None:
        """Let the others have their turn."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _hold(self, file: IO[str], mode: int) -> None:
        try:
            fcntl.lockf(file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            self._say("windtunnel: waits for its turn: another session uses the stack")
            fcntl.lockf(file, mode)


def require(method: str, alone: bool) -> None:
    """Raises `UsageError` where a test changes the stack that others use at the same time."""
    if not alone:
        fault = f"{method} changes the stack that other tests use at the same time"
        raise UsageError(f"{fault}: mark the test with @pytest.mark.{MARKER}")
