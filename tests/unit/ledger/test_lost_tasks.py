"""A report of a lost task has the time of the loss, whenever it is sent."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.servers import running
from tests.unit.said import Said
from windtunnel.brokers.valkey_messages import LOST_KEY
from windtunnel.health import checks
from windtunnel.ledger import ledger
from windtunnel.ledger.fence import Generation
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.settings import Settings
from windtunnel.system import procfs


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("lost") / "state", "valkey") as settings:
        yield settings


@pytest.fixture
def broker(servers: Settings) -> Iterator[Redis]:
    with checks.broker(servers) as client:
        client.flushall()
        yield client


def lost(state: Path, task_id: str) -> Lost:
    """A worker that has the task in hand."""
    files = WorkerFiles(state / "run", "worker-0")
    files.create()
    ledger.write(files.task(task_id), {"pid": 7, "start": 7, "started": 1.0})
    return Lost(files, state, Said())


def test_a_report_that_is_sent_late_has_the_time_of_the_loss(
    servers: Settings, broker: Redis
) -> None:
    it = lost(servers.state, "a")
    url = servers.state / "secrets" / "broker-url"
    right = url.read_text()
    url.write_text("redis://127.0.0.1:1/0")
    before = time.time()
    try:
        it.note("a", it.files.in_hand()["a"], "its worker was killed")
        after = time.time()
        it.send_if_due(now=100.0)
        assert it.files.given_up()["a"]["noted"] <= after, (
            "the supervisor may be replaced meanwhile"
        )
    finally:
        url.write_text(right)
    time.sleep(0.1)
    next_supervisor = Lost(it.files, servers.state, Said())
    next_supervisor.send_if_due(now=103.0)
    report = json.loads(broker.hget(LOST_KEY, "a") or b"")
    assert before <= report["noted"] <= after
    assert report["started"] == 1.0
    assert not it.files.given_up()


def test_a_task_that_ended_before_its_loss_was_noted_is_not_reported(tmp_path: Path) -> None:
    it = lost(tmp_path, "a")
    entry = it.files.in_hand()["a"]
    it.files.release("a", pid=7, start=7)
    it.note("a", entry, "its process is gone")
    assert not it.files.given_up()


def test_a_full_disk_does_not_keep_a_loss_from_being_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = lost(tmp_path, "a")

    def no_room(path: Path, data: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger, "write", no_room)
    it.note("a", it.files.in_hand()["a"], "its worker was killed")
    assert it.files.given_up() == {"a": {"pid": 7, "start": 7, "started": 1.0}}


SESSION = 4_000_000


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ({"sid": SESSION}, True),
        ({"sid": SESSION, "pgrp": SESSION}, False),
        ({"sid": SESSION + 1}, False),
        ({"sid": os.getpid()}, False),
    ],
    ids=["a task's own process", "a program of it", "in another session", "a session's leader"],
)
def test_only_a_survivor_that_may_be_a_task_itself_holds_the_begun_tasks_back(
    tmp_path: Path, change: dict[str, int], waits: bool
) -> None:
    it = lost(tmp_path, "begun")
    ledger.write(it.files.task("received"), {"received": 1.0})
    changed: dict[str, Any] = dict(change)
    me = procfs.read(os.getpid())
    assert me is not None
    survivor = replace(replace(me, pgrp=me.pid), **changed)
    sid = os.getpid() if survivor.sid == survivor.pid else SESSION
    it.give_up(survivor, Generation(sid, 1, procfs.boot_id()), lambda _: "")
    assert it.survivors.hold("begun") == waits
    assert not it.survivors.hold("received")
    assert it.survivors.pids() == {me.pid}
