"""A worker on RabbitMQ keeps no message that it cannot start, and its running tasks take over their own."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from windtunnel.runtime import held_back
from windtunnel.runtime.held_back import HeldBack


class Message:
    def __init__(self, task_id: str) -> None:
        self.headers = {"id": task_id}
        self.channel = f"channel of {task_id}"
        self.delivery_tag = 1
        self.rejected: list[bool] = []

    def reject(self, requeue: bool = False) -> None:
        self.rejected.append(requeue)


class Request(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


def request(task_id: str, message: Any = None) -> Any:
    return Request(id=task_id, acknowledged=False, message=message)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    moment = [100.0]
    monkeypatch.setattr("windtunnel.runtime.held_back.time.monotonic", lambda: moment[0])
    state.active_requests.clear()
    state.reserved_requests.clear()
    yield moment
    state.active_requests.clear()
    state.reserved_requests.clear()


def test_a_message_with_a_slot_goes_to_celery_at_once(now: list[float]) -> None:
    handled: list[Any] = []
    worker = HeldBack(lambda: 1)
    message = Message("a")
    worker.wrap(handled.append)(message)
    assert handled == [message] and not worker.waiting


def test_a_message_that_finds_no_slot_is_offered_to_all_after_a_moment(now: list[float]) -> None:
    handled: list[Any] = []
    worker = HeldBack(lambda: 1)
    busy = request("running")
    state.active_requests.add(busy)
    message = Message("a")
    worker.wrap(handled.append)(message)
    worker.look()
    assert not handled and not message.rejected
    now[0] += held_back.GIVE_BACK_SECONDS
    worker.look()
    assert message.rejected == [True] and not worker.waiting and not handled


def test_a_slot_that_becomes_free_takes_the_one_that_waited_first(now: list[float]) -> None:
    handled: list[Any] = []
    worker = HeldBack(lambda: 1)
    busy = request("running")
    state.active_requests.add(busy)
    first, second = Message("a"), Message("b")
    receive = worker.wrap(handled.append)
    receive(first)
    receive(second)
    state.active_requests.discard(busy)
    kept = [request("kept")]  # the sets hold their members weakly

    def handle(message: Any) -> None:
        handled.append(message)
        state.reserved_requests.add(kept[0])

    worker.handle = handle
    worker.look()
    assert handled == [first] and len(worker.waiting) == 1


def test_a_running_task_takes_its_message_over_when_it_comes_again(now: list[float]) -> None:
    handled: list[Any] = []
    former = Message("a")
    running = request("a", former)
    state.active_requests.add(running)
    again = Message("a")
    again.channel, again.delivery_tag = "the new channel", 7
    HeldBack(lambda: 1).wrap(handled.append)(again)
    assert (former.channel, former.delivery_tag) == ("the new channel", 7)
    assert not handled and not again.rejected


def test_a_worker_that_stops_gives_back_what_waits(now: list[float]) -> None:
    worker = HeldBack(lambda: 0)
    message = Message("a")
    worker.wrap(lambda message: None)(message)
    worker.give_back()
    assert message.rejected == [True] and not worker.waiting


def test_a_lost_connection_takes_what_waits_with_it(now: list[float]) -> None:
    worker = HeldBack(lambda: 0)
    message = Message("a")
    worker.wrap(lambda message: None)(message)
    worker.forget()
    assert not message.rejected and not worker.waiting


def test_no_queue_is_made_for_tasks_with_an_eta() -> None:
    from windtunnel.runtime.celery_consumer import ETA_QUEUES, ResilientConsumer

    steps = ResilientConsumer.Blueprint.default_steps
    upstream = ResilientConsumer.__mro__[1].Blueprint.default_steps
    assert ETA_QUEUES in upstream, "Celery has renamed the step"
    assert set(upstream) - set(steps) == {ETA_QUEUES}
