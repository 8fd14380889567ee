"""Turns of tests on one stack: a test that breaks or changes it runs alone.

pytest-xdist's processes share the stack. A worker that one test kills would cost another test's
task a try. So tests share the stack, or one test has it alone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import pytest

from windtunnel.errors import UsageError

#: Methods of `Windtunnel` whose effect other tests would see.
CHANGING = frozenset(
    ("broken", "remote_worker", "scale", "pause", "unpause", "variable", "connection", "pool")
)
MARKER = "windtunnel_alone"


def is_alone(item: pytest.Item) -> bool:
    """Whether a test needs the stack for itself: it says so, or its text calls such a method."""
    if item.get_closest_marker(MARKER):
        return True
    code = getattr(getattr(item, "function", None), "__code__", None)
    return isinstance(code, CodeType) and not CHANGING.isdisjoint(_names(code))


def _names(code: CodeType) -> set[str]:
    """The names that a function uses, with those of functions in it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Hold the stack, alone or with others. Waits for its turn.

    Not by `flock`: a process that a test has forked would hold the turn as long as it lives.
    """
    with open(folder / "gate.lock", "w+") as gate, open(folder / "turn.lock", "w+") as lock:
        # Who waits at the gate comes before the tests that would begin later.
        fcntl.lockf(gate, fcntl.LOCK_EX)
        fcntl.lockf(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.lockf(gate, fcntl.LOCK_UN)
        yield


def require(method: str, alone: bool) -> None:
    """Raises `UsageError` where a test changes the stack that others use at the same time."""
    if not alone:
        fault = f"{method} changes the stack that other processes of pytest-xdist use"
        raise UsageError(f"{fault}: mark the test with @pytest.mark.{MARKER}")
