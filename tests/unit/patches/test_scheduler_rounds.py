"""When the scheduler's loop looks for work: on news, after a look that a limit cut short, and as often as stock would anyway."""

from __future__ import annotations

from typing import Any

import pytest

from windtunnel.patches.scheduler_rounds import Rounds


class StandIn:
    """Stands in for database_notify.Listener."""

    def __init__(self) -> None:
        self.news, self.due, self.waited = False, 0.0, list[float]()

    def notified(self) -> bool:
        return self.news

    def acknowledge(self) -> None:
        self.news = False

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def quiet_for(self, most: float) -> float:
        return min(self.due, most)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def loop() -> tuple[Rounds, StandIn, Clock]:
    listener, clock = StandIn(), Clock()
    return Rounds(listener, 1.0, clock), listener, clock  # type: ignore[arg-type]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the loop slept without listening for news."""
    seconds: list[float] = []
    monkeypatch.setattr("windtunnel.patches.scheduler_rounds.time.sleep", seconds.append)
    return seconds


def a_look(watch: Rounds, clock: Clock | None = None, **result: Any) -> None:
    """A look for work; with the clock it takes 0.1 s."""
    watch.begin()
    if clock:
        clock.now += 0.1
    watch.end(**({"queued": 1, "whole": True} | result))


def test_the_first_round_looks_and_the_next_one_only_on_news(
    loop: tuple[Rounds, StandIn, Clock],
) -> None:
    watch, listener, clock = loop
    assert watch.look()
    a_look(watch)
    assert not watch.look()
    listener.news = True
    assert watch.look()
    a_look(watch)
    assert not watch.look(), "the news was heard"
    clock.now += 1.0
    assert watch.look(), "as stock, after its sleep"


def test_a_look_that_a_limit_cut_short_is_followed_by_another(
    loop: tuple[Rounds, StandIn, Clock],
) -> None:
    watch, _, _ = loop
    a_look(watch, whole=False)
    assert watch.look()


def test_a_look_that_failed_is_followed_by_another(loop: tuple[Rounds, StandIn, Clock]) -> None:
    watch, _, _ = loop
    a_look(watch)
    watch.begin()  # and an exception
    assert watch.look()


def test_looks_that_find_nothing_keep_a_distance_and_forget_no_news(
    loop: tuple[Rounds, StandIn, Clock], slept: list[float]
) -> None:
    watch, listener, clock = loop
    a_look(watch, clock, queued=0)
    listener.news = True
    assert not watch.look()
    watch.sleep(1.0)
    assert slept == [pytest.approx(0.2)]
    assert listener.waited == [pytest.approx(0.8)]
    clock.now += 0.2
    assert watch.look()


def test_a_look_that_found_something_is_followed_at_once_by_the_next_news(
    loop: tuple[Rounds, StandIn, Clock],
) -> None:
    watch, listener, clock = loop
    a_look(watch, clock)
    listener.news = True
    assert watch.look()


def test_it_sleeps_longer_when_nothing_runs_and_nothing_is_due(
    loop: tuple[Rounds, StandIn, Clock],
) -> None:
    watch, listener, _ = loop
    listener.due = 60.0
    watch.sleep(1.0)
    listener.due = 2.0
    watch.sleep(1.0)
    listener.due = 0.0  # a run is under way, or the database does not answer
    watch.sleep(1.0)
    listener.due = 60.0
    watch.sleep(0.4)  # a timer of the loop
    listener.news = True
    watch.sleep(1.0)
    assert listener.waited == [5.0, 2.0, 1.0, 0.4, 1.0]


def test_it_sleeps_as_long_after_a_look(
    loop: tuple[Rounds, StandIn, Clock], slept: list[float]
) -> None:
    watch, listener, clock = loop
    a_look(watch, clock, queued=0)
    listener.due = 60.0
    watch.sleep(1.0)
    assert listener.waited == [5.0], (
        "the rest that follows a look does not make it a timer of the loop"
    )


def test_with_a_full_executor_it_does_not_look_for_each_task_that_ends(
    loop: tuple[Rounds, StandIn, Clock], slept: list[float]
) -> None:
    watch, listener, clock = loop
    a_look(watch, clock, whole=False, full=True)
    listener.news = True
    assert not watch.look(room=False)
    watch.sleep(1.0)
    assert (slept, listener.waited) == ([0.1], []), "the executor is asked again soon"
    assert watch.look(room=True), "its tasks went quickly"
    assert not watch.look(room=False)
    clock.now += 1.0
    assert watch.look(room=False), "a second is long enough"
