"""The reconciler's decisions, with a real Valkey and a stand-in for the database (its SQL runs in the fault tests)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from tests.unit.reconciler.stand_ins import Rows, hold, message
from tests.unit.said import Said
from windtunnel.brokers.valkey_messages import LOST_KEY, ValkeyMessages
from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.reconciler.machine import Machine
from windtunnel.reconciler.reconciler import Reconciler
from windtunnel.reconciler.silent_tasks import Silences
from windtunnel.settings import Settings
from windtunnel.system import procfs


def report(broker: Redis, task_id: str) -> None:
    """The supervisor of worker-0 reports the task lost."""
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
    assert it.data["incidents"][-1]["text"].endswith(" is up_for_retry after its worker was lost")
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
    (incident,) = it.data["incidents"]
    assert incident["text"].endswith("back into its queue: its worker died before it began")


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


@pytest.fixture
def living(settings: Settings) -> WorkerFiles:
    """A worker of this machine that has task "a" in hand, in the process of the test."""
    files = WorkerFiles(settings.run, "worker-1")
    files.create()
    me = procfs.read(os.getpid())
    assert me is not None
    ledger.write(files.task("a"), {"pid": me.pid, "start": me.start})
    return files


@pytest.mark.parametrize("state", ["queued", "running elsewhere"])
def test_the_report_of_a_task_that_a_living_process_has_in_hand_again_is_forgotten(
    reconciler: tuple[Reconciler, Rows], broker: Redis, living: WorkerFiles, state: str
) -> None:
    it, rows = reconciler
    rows.states["a"] = state
    tag = hold(broker, "a")
    report(broker, "a")
    it.round(100.0)
    it.round(105.0)
    assert rows.aged == []
    assert not broker.exists(LOST_KEY, "default")
    assert broker.hkeys("unacked") == [tag.encode()], "the living process needs its message"


def test_a_copy_that_airflow_is_about_to_refuse_delays_the_report_and_does_not_drop_it(
    reconciler: tuple[Reconciler, Rows], broker: Redis, living: WorkerFiles
) -> None:
    it, rows = reconciler
    rows.states["a"] = "running"
    report(broker, "a")
    it.round(100.0)
    it.round(105.0)
    assert rows.aged == []
    living.task("a").unlink()
    it.round(107.0)
    assert rows.aged == ["a"]


def test_the_entry_of_a_dead_process_holds_no_report_up(
    reconciler: tuple[Reconciler, Rows], broker: Redis, living: WorkerFiles
) -> None:
    it, rows = reconciler
    rows.states["a"] = "running"
    entry = ledger.read(living.task("a"))
    ledger.write(living.task("a"), entry | {"start": entry["start"] - 1})
    report(broker, "a")
    it.round(100.0)
    it.round(105.0)
    assert rows.aged == ["a"]


def test_a_callback_that_a_living_process_has_in_hand_again_is_not_repeated(
    reconciler: tuple[Reconciler, Rows], broker: Redis, living: WorkerFiles
) -> None:
    it, rows = reconciler
    rows.states["callback-7"] = "running"
    tag = hold(broker, "a")
    broker.hset(LOST_KEY, "a", json.dumps({"worker": "worker-0", "callback": "callback-7"}))
    it.round(100.0)
    it.round(105.0)
    assert rows.forgotten == [], "the result is the living process's"
    assert not broker.exists(LOST_KEY, "default")
    assert broker.hkeys("unacked") == [tag.encode()]


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
    # On a busy machine the sweep before may have taken a second: the next is due 100 s after it.
    it.round(now + 31 + 300)
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


def test_a_task_that_sends_no_heartbeat_while_all_is_well_is_given_up_by_the_rounds(
    reconciler: tuple[Reconciler, Rows],
) -> None:
    it, rows = reconciler
    it.silences = Silences(60.0, lambda: True, set)
    rows.beats = {"instance": "12:00:00"}
    for now in range(100, 155, 2):
        it.round(float(now))
    assert rows.aged == []
    for now in range(155, 180, 2):
        it.round(float(now))
    assert "instance" in rows.aged
    assert "sent no heartbeat for" in it.data["incidents"][-1]["text"]


def test_schedulers_are_compared_and_old_results_deleted_at_their_times_only(
    reconciler: tuple[Reconciler, Rows],
) -> None:
    it, rows = reconciler
    it.due["clean"] = 0.0
    it.round(100.0)
    it.round(102.0)
    assert (rows.schedulers, rows.cleanings) == (0, 0), "not before all was well for a while"
    for now in range(104, 130, 2):
        it.round(float(now))
    assert (rows.schedulers, rows.cleanings) == (3, 0)
    for now in range(130, 200, 2):
        it.round(float(now))
    assert (rows.schedulers, rows.cleanings) == (10, 1)


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
    (incident,) = it.data["incidents"]
    assert incident["text"].startswith("removed the message of Celery task old: ")


def test_ten_thousand_waiting_messages_are_read_in_under_two_seconds(
    valkey: str, broker: Redis
) -> None:
    with broker.pipeline() as pipe:
        for number in range(10_000):
            pipe.lpush("default", json.dumps(message(f"id-{number}")))
        pipe.execute()
    broker.lpush("default\x06\x163", json.dumps(message("urgent")))
    start = time.monotonic()
    found = ValkeyMessages(valkey).message_ids({"default", "heavy"})
    took = time.monotonic() - start
    assert len(found) == 10_001
    assert took < 2.0


def test_a_stopped_supervisor_is_continued(settings: Settings, broker: Redis) -> None:
    said = Said()
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
        Machine(settings, said).check(0.0)
        while (p := procfs.read(process.pid)) is not None and p.state == "T":
            assert time.monotonic() < end
        assert "sent SIGCONT" in said.lines[0]
    finally:
        process.kill()
        process.wait()


@contextmanager
def abandoned_worker(
    settings: Settings,
) -> Iterator[tuple[subprocess.Popen[bytes], ledger.WorkerFiles]]:
    """worker-3, whose supervisor has died, and a process of its Celery that lives on."""
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
        yield leader, files
    finally:
        leader.kill()
        leader.wait()


def test_what_an_abandoned_worker_left_is_ended_and_reported(
    settings: Settings, broker: Redis
) -> None:
    said = Said()
    with abandoned_worker(settings) as (leader, files):
        machine = Machine(settings, said)
        machine.check(0.0)
        assert leader.poll() is None, "process-compose may start it again: that comes first"
        machine.check(25.0)
        assert leader.wait(5) == -9
        assert said.events == ["processes_ended", "task_lost"]
        assert said.lines[1].startswith("worker-3: lost Celery task a: ")
        assert broker.hexists(LOST_KEY, "a")
        assert not files.in_hand()
        assert ledger.read(files.supervisor)["state"] == "stopped"


def test_an_abandoned_worker_whose_name_a_new_supervisor_has_taken_is_left_to_it(
    settings: Settings, broker: Redis
) -> None:
    """It has the lock before it writes its own number, and fences by itself."""
    said = Said()
    with abandoned_worker(settings) as (leader, files):
        machine = Machine(settings, said)
        machine.check(0.0)
        with files.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            machine.check(25.0)
        assert leader.poll() is None and said.lines == []
        machine.check(50.0)
        assert leader.wait(5) == -9


def test_only_this_stacks_own_schedulers_count_and_a_fork_of_one_does_not(
    settings: Settings,
) -> None:
    code = "(echo; sleep 60; :) & echo; wait"
    here, there = str(settings.state), "/another/stack"
    processes = []
    try:
        for name, state in (("airflow", here), ("airflow", there), ("other", here)):
            process = subprocess.Popen(
                [name, "-c", code, "scheduler"],
                executable=shutil.which("bash"),
                env={"WINDTUNNEL_STATE": state, "PATH": os.environ["PATH"]},
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            processes.append(process)
            assert process.stdout is not None
            assert process.stdout.read(2) == b"\n\n"
        assert Machine(settings, Said()).schedulers() == 1
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert Machine(settings, Said()).schedulers() is None
