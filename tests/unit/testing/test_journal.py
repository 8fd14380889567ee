"""The journal knows the faults of the tests, also those of a test that failed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from windtunnel.testing.faults import way
from windtunnel.testing.journal import Journal


@contextmanager
def fault(*, fails: bool = False) -> Iterator[str]:
    if fails:
        raise RuntimeError("there is no such part")
    yield "worker-0"


def test_a_fault_has_the_times_of_its_block() -> None:
    journal, before = Journal(), time.time()
    with journal.noting("killed", fault()) as name:
        assert name == "worker-0"
        assert journal.faults[0].ended is None
    noted = journal.faults[0]
    assert noted.ended is not None and before <= noted.began <= noted.ended <= time.time()


def test_an_assertion_that_fails_in_the_block_ends_the_fault_too() -> None:
    journal = Journal()
    with pytest.raises(AssertionError), journal.noting("away", fault()):
        raise AssertionError
    assert journal.faults[0].ended is not None


def test_what_could_not_be_broken_is_no_fault() -> None:
    journal = Journal()
    with pytest.raises(RuntimeError), journal.noting("away", fault(fails=True)):
        pass
    assert journal.faults == []


def test_how_a_part_is_broken_is_named_also_where_the_test_does_not_say_it() -> None:
    named = [way("worker", ""), way("broker", ""), way("broker", "killed"), way("partition", "")]
    assert named == ["killed", "away", "killed", "cut off"]
