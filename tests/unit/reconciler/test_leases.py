"""Leases on messages: renewed by workers, observed on the reconciler's own clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state
from kombu import Connection
from redis import Redis

from tests.unit.reconciler.stand_ins import Rows, hold
from windtunnel.ledger import ledger
from windtunnel.reconciler import leases
from windtunnel.reconciler.reconciler import Reconciler
from windtunnel.reconciler.silence import Silence
from windtunnel.runtime import lease
from windtunnel.system import procfs


@pytest.fixture
def requests() -> Iterator[list[Any]]:
    """What Celery's main process has in hand; its own sets hold weak references."""
    kept: list[Any] = []
    yield kept
    state.active_requests.clear()
    state.reserved_requests.clear()


class Request:
    def __init__(self, message: Any) -> None:
        self.message = message


def take(connection: Connection, name: str = "q") -> Any:
    """A message published and taken, unacknowledged."""
    with connection.SimpleQueue(name) as queue:
        queue.put({"a": 1})
    queue = connection.SimpleQueue(name)
    return queue.get(timeout=5)


def test_a_value_is_silent_after_the_limit_on_the_observers_clock() -> None:
    silence: Silence[str] = Silence(limit=45, step=15)
    assert silence.look({"a": 1}, 0) == set()
    assert silence.look({"a": 1}, 600) == set(), "the observer slept: that counts as one step"
    assert silence.look({"a": 1}, 615) == set()
    assert silence.look({"a": 1}, 630) == {"a"}
    assert silence.look({"a": 0.5}, 645) == set(), "any change is a sign of life, also backwards"
    assert silence.look({}, 660) == set()
    assert silence.look({"a": 0.5}, 675) == set(), "what was gone begins anew"


def test_a_renewal_changes_the_score_of_held_messages_and_revives_none(
    valkey: str,
    broker: Redis,
) -> None:
    with Connection(valkey) as connection:
        message = take(connection)
        tag = message.delivery_tag
        broker.zadd("unacked_index", {tag: 1.0})
        lease.renew(message.channel, {tag, "acknowledged long ago"})
        assert time.time() - broker.zscore("unacked_index", tag) < 60
        assert broker.zcard("unacked_index") == 1


def test_a_lost_connection_gives_no_running_task_away(
    valkey: str,
    broker: Redis,
    requests: list[Any],
) -> None:
    connection = Connection(valkey)
    running, waiting = take(connection, "one"), take(connection, "two")
    requests.append(Request(running))
    state.active_requests.add(requests[0])
    for message in (running, waiting):
        channel = message.channel
        lease.keep_tasks_in_hand(channel)
        channel.close()
    assert broker.llen("one") == 0, "its task runs on"
    assert broker.llen("two") == 1, "nobody had begun it"
    assert broker.hkeys("unacked") == [running.delivery_tag.encode()]
    with pytest.raises(ConnectionResetError):
        running.ack()
    with Connection(valkey) as renewed:
        lease.take_over(renewed.default_channel)
        running.ack()
    assert not broker.exists("unacked", "unacked_index")


def test_tags_in_hand_are_those_of_running_and_reserved_tasks(requests: list[Any]) -> None:
    requests += [Request(SimpleNamespace(delivery_tag=tag)) for tag in ("a", "b")]
    state.active_requests.add(requests[0])
    state.reserved_requests.add(requests[1])
    assert lease.tags_in_hand() == {"a", "b"}


def sweep(it: Reconciler, start: float, seconds: float) -> None:
    """Rounds of the reconciler as they come, every 2 s of its own clock."""
    for step in range(int(seconds / 2)):
        it.turn(start + 2 * step)


def test_the_message_of_a_worker_that_renews_nothing_comes_back(
    reconciler: tuple[Reconciler, Rows],
    broker: Redis,
) -> None:
    it, rows = reconciler
    rows.states |= {"dead": "queued", "alive": "running"}
    hold(broker, "dead")
    tag = hold(broker, "alive")
    for step in range(60):
        it.round(100.0 + 2 * step)
        broker.zadd("unacked_index", {tag: float(step)})
    assert broker.llen("default") == 1
    assert broker.hkeys("unacked") == [tag.encode()]


def test_a_task_whose_process_lives_here_keeps_its_message(
    reconciler: tuple[Reconciler, Rows],
    broker: Redis,
    settings: Any,
) -> None:
    it, rows = reconciler
    rows.states["a"] = "running"
    hold(broker, "a")
    files = ledger.WorkerFiles(settings.run, "worker-0")
    files.create()
    me = procfs.read(os.getpid())
    assert me is not None
    ledger.write(files.supervisor, {"pid": me.pid, "start": me.start, "boot": procfs.boot_id()})
    ledger.write(files.task("a"), {"pid": me.pid, "start": me.start})
    sweep(it, 100.0, 200.0)
    assert broker.llen("default") == 0
    ledger.write(files.task("a"), {"pid": me.pid, "start": me.start + 1})
    sweep(it, 300.0, 30.0)
    assert broker.llen("default") == 1


def test_an_outage_of_the_scheduler_counts_nothing(
    reconciler: tuple[Reconciler, Rows],
    broker: Redis,
) -> None:
    it, rows = reconciler
    rows.states["a"] = "queued"
    hold(broker, "a")
    sweep(it, 100.0, 60.0)
    rows.age = 100.0
    sweep(it, 160.0, 300.0)
    rows.age = 1.0
    sweep(it, 460.0, 40.0)
    assert broker.llen("default") == 0
    sweep(it, 500.0, leases.LEASE_SECONDS)
    assert broker.llen("default") == 1


def test_a_report_that_cannot_be_read_is_dropped(
    reconciler: tuple[Reconciler, Rows],
    broker: Redis,
) -> None:
    it, rows = reconciler
    rows.states["good"] = "up_for_retry"
    broker.hset(
        "windtunnel:lost",
        mapping={b"\xff": b"{", b"list": b"[1]", b"number": b'{"noted": "x"}', b"good": b"{}"},
    )
    it.round(100.0)
    assert it.round(106.0) == "working"
    assert broker.hlen("windtunnel:lost") == 0
