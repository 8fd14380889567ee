"""The reconciler's decisions, with a real Valkey and a stand-in for the database (its SQL runs in the fault tests)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisError

from windtunnel.ledger import ledger
from windtunnel.ledger.lost_tasks import LOST_KEY
from windtunnel.reconciler.broker import Broker
from windtunnel.reconciler.machine import Machine
from windtunnel.reconciler.reconciler import Reconciler
from windtunnel.settings import Settings, load
from windtunnel.system import procfs


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("valkey-server")
    if program is None:
        pytest.fail("valkey-server is not on PATH: run the tests through ./dev pytest")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("valkey")
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=-3,
    )
    url = f"redis://127.0.0.1:{port}/0"
    client = Redis.from_url(url)
    end = time.monotonic() + 10
    while True:
        try:
            client.ping()
            break
        except (OSError, RedisError):
            assert time.monotonic() < end
            time.sleep(0.05)
    yield url
    server.kill()
    server.wait()


@pytest.fixture
def broker(valkey: str) -> Iterator[Redis]:
    client = Redis.from_url(valkey)
    client.flushall()
    yield client
    client.close()


def message(task_id: str) -> dict[str, Any]:
    """As kombu writes one; the other ids of the headers must not be taken for the task's."""
    headers = {
        "lang": "py",
        "task": "execute_workload",
        "id": task_id,
        "root_id": "root-" + task_id,
        "parent_id": None,
    }
    return {
        "body": "e30=" * 500,
        "headers": headers,
        "properties": {"delivery_info": {"exchange": "default", "routing_key": "default"}},
    }


def hold(broker: Redis, task_id: str) -> str:
    """The message is in a worker's hands."""
    broker.hset("unacked", "tag-" + task_id, json.dumps([message(task_id), "default", "default"]))
    broker.zadd("unacked_index", {"tag-" + task_id: time.time()})
    return "tag-" + task_id


class Rows:
    """Stands in for reconciler.database.Database."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.aged: list[str] = []
        self.age: float | None = 1.0
        self.beats: dict[str, str] = {}
        self.forgotten: list[str] = []

    def drop(self) -> None: ...

    def lead(self) -> bool:
        return True

    def scheduler_age(self) -> float | None:
        return self.age

    def job_ages(self) -> dict[str, float]:
        return {}

    def age_heartbeat(self, task_id: str, names: tuple[str, str], noted: float) -> str | None:
        if self.states.get(task_id) == "running":
            self.aged.append(task_id)
        return self.states.get(task_id)

    def queued(self) -> dict[str, str]:
        return {k: "default" for k, v in self.states.items() if v == "queued"}

    def age_queued(self, task_id: str) -> str | None:
        self.aged.append(task_id)
        return task_id

    def age_dead_schedulers(self, alive: int | None) -> int:
        return 0

    def finished(self, task_ids: list[str]) -> list[str]:
        return [t for t in task_ids if self.states.get(t) == "finished"]

    def forget_result(self, task_id: str) -> None:
        self.forgotten.append(task_id)

    def running(self) -> dict[str, tuple[str, str]]:
        return {key: (beat, key) for key, beat in self.beats.items()}

    def age_silent(self, key: str, beat: str) -> bool:
        self.aged.append(key)
        return True

    def callback_state(self, key: str) -> str | None:
        return self.states.get(key)

    def delete_old_results(self) -> int:
        return 0


@pytest.fixture
def settings(tmp_path: Path, valkey: str) -> Settings:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "broker-url").write_text(valkey)
    (tmp_path / "secrets" / "database-url").write_text(
        "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    )
    return load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)


@pytest.fixture
def reconciler(settings: Settings, broker: Redis) -> tuple[Reconciler, Rows]:
    made = Reconciler(settings)
    rows = Rows()
    made.database = rows  # type: ignore[assignment]
    return made, rows


def report(broker: Redis, *task_ids: str) -> None:
    for task_id in task_ids:
        broker.hset(LOST_KEY, task_id, json.dumps({"worker": "worker-0", "noted": time.time()}))


def test_a_lost_running_task_is_aged_until_the_scheduler_has_acted(
    reconciler: tuple[Reconciler, Rows], broker: Redis
) -> None:
    it, rows = reconciler
    rows.states["a"] = "running"
    hold(broker, "a")
    report(broker, "a")
    it.round(100.0)
    assert rows.aged == [], "not before everything was well for a while"
    it.round(105.0)
    assert rows.aged == ["a"]
    assert broker.hexists(LOST_KEY, "a")
    rows.states["a"] = "up_for_retry"
    it.round(107.0)
    assert not broker.hexists(LOST_KEY, "a")
    assert broker.hlen("unacked") == broker.zcard("unacked_index") == 0


def test_a_lost_task_that_had_not_begun_goes_back_into_its_queue(
    reconciler: tuple[Reconciler, Rows], broker: Redis
) -> None:
    it, rows = reconciler
    rows.states["a"] = "queued"
    hold(broker, "a")
    report(broker, "a")
    it.round(100.0)
    it.round(105.0)
    (raw,) = broker.lrange("default", 0, -1)
    assert json.loads(raw)["headers"] | {"redelivered": True} == json.loads(raw)["headers"]
    assert not broker.exists("unacked", "unacked_index", LOST_KEY)


@pytest.mark.parametrize(
    ("state", "again"), [("queued", True), ("running", True), ("success", False), (None, False)]
)
def test_a_lost_callback_runs_again_unless_it_has_ended(
    reconciler: tuple[Reconciler, Rows], broker: Redis, state: str | None, again: bool
) -> None:
    it, rows = reconciler
    if state:
        rows.states["callback-7"] = state
    hold(broker, "a")
    news = {
        "worker": "worker-0",
        "noted": time.time(),
        "callback": "callback-7",
        "path": "mine.tell",
        "dag_id": None,
    }
    broker.hset(LOST_KEY, "a", json.dumps(news))
    it.round(100.0)
    it.round(105.0)
    assert broker.llen("default") == int(again)
    assert not broker.exists("unacked", "unacked_index", LOST_KEY)
    assert rows.forgotten == ["a"], "or its executor slot would wait for the dead worker's result"
    assert "callback mine.tell (callback-7)" in it.data["incidents"][-1]["text"]


def test_a_message_that_is_nowhere_is_missed_only_when_seen_twice(
    reconciler: tuple[Reconciler, Rows], broker: Redis
) -> None:
    it, rows = reconciler
    rows.states |= {"gone": "queued", "waiting": "queued", "held": "queued"}
    broker.lpush("default", json.dumps(message("waiting")))
    hold(broker, "held")
    now = 100.0
    it.round(now)
    it.round(now + 31)
    assert rows.aged == []
    it.round(now + 31 + 16)
    assert rows.aged == ["gone"]


def test_nothing_is_done_without_a_scheduler_or_just_after_an_outage(
    reconciler: tuple[Reconciler, Rows], broker: Redis
) -> None:
    it, rows = reconciler
    rows.states["a"] = "running"
    report(broker, "a")
    rows.age = 60.0
    assert it.round(100.0) == "waiting for a scheduler"
    assert it.round(200.0) == "waiting for a scheduler"
    rows.age = 1.0
    it.round(201.0)
    assert rows.aged == []
    it.round(206.0)
    assert rows.aged == ["a"]


def test_the_message_of_an_ended_task_does_not_stay_held(
    reconciler: tuple[Reconciler, Rows], broker: Redis
) -> None:
    it, rows = reconciler
    rows.states |= {"old": "finished", "new": "running"}
    hold(broker, "old")
    hold(broker, "new")
    it.round(100.0)
    it.round(131.0)
    assert broker.hkeys("unacked") == [b"tag-new"]


def test_ten_thousand_waiting_messages_are_read_in_under_two_seconds(
    valkey: str, broker: Redis
) -> None:
    with broker.pipeline() as pipe:
        for number in range(10_000):
            pipe.lpush("default", json.dumps(message(f"id-{number}")))
        pipe.execute()
    broker.lpush("default\x06\x163", json.dumps(message("urgent")))
    start = time.monotonic()
    found = Broker(valkey).message_ids({"default", "heavy"})
    took = time.monotonic() - start
    assert len(found) == 10_001
    assert took < 2.0


def test_a_stopped_supervisor_is_continued(settings: Settings, broker: Redis) -> None:
    said: list[str] = []
    process = subprocess.Popen(["sleep", "60"])
    try:
        found = procfs.read(process.pid)
        assert found is not None
        files = ledger.WorkerFiles(settings.run, "worker-0")
        files.create()
        ledger.write(
            files.supervisor, {"pid": process.pid, "start": found.start, "boot": procfs.boot_id()}
        )
        os.kill(process.pid, 19)
        end = time.monotonic() + 5
        while (p := procfs.read(process.pid)) is not None and p.state != "T":
            assert time.monotonic() < end
        Machine(settings, said.append).check(0.0)
        while (p := procfs.read(process.pid)) is not None and p.state == "T":
            assert time.monotonic() < end
        assert "sent SIGCONT" in said[0]
    finally:
        process.kill()
        process.wait()


def test_what_an_abandoned_worker_left_is_ended_and_reported(
    settings: Settings, broker: Redis
) -> None:
    said: list[str] = []
    leader = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        found = procfs.read(leader.pid)
        assert found is not None
        files = ledger.WorkerFiles(settings.run, "worker-3")
        files.create()
        record = {
            "pid": 999_999_999,
            "start": 1,
            "boot": procfs.boot_id(),
            "celery_pid": leader.pid,
            "celery_start": found.start,
        }
        ledger.write(files.supervisor, record)
        ledger.write(files.task("a"), {"pid": leader.pid, "start": found.start})
        machine = Machine(settings, said.append)
        machine.check(0.0)
        assert leader.poll() is None, "process-compose may start it again: that comes first"
        machine.check(25.0)
        assert leader.wait(5) == -9
        assert broker.hexists(LOST_KEY, "a")
        assert not files.in_hand()
        assert ledger.read(files.supervisor)["state"] == "stopped"
    finally:
        leader.kill()
