"""The reconciler's SQL and its broker operations on a real PostgreSQL and a real Valkey, by what they leave there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.servers import connected, running
from windtunnel.brokers.valkey_messages import LOST_KEY
from windtunnel.health import checks
from windtunnel.reconciler import database
from windtunnel.reconciler import reconciler as module
from windtunnel.reconciler.database import Database
from windtunnel.reconciler.reconciler import Reconciler
from windtunnel.settings import Settings

#: The columns that the reconciler reads and writes, with Airflow's and Celery's types.
TABLES = """
DROP TABLE IF EXISTS task_instance, job, celery_taskmeta;
CREATE TABLE task_instance (dag_id varchar, run_id varchar, task_id varchar, state varchar, queue varchar, hostname varchar DEFAULT '',
  start_date timestamptz, queued_dttm timestamptz, last_heartbeat_at timestamptz, external_executor_id varchar,
  id serial);
CREATE TABLE job (id serial, job_type varchar, state varchar, latest_heartbeat timestamptz, hostname varchar DEFAULT 'here');
CREATE TABLE celery_taskmeta (id serial, task_id varchar, status varchar, date_done timestamp)"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("reconciler") / "state", "postgres", "valkey") as settings:
        yield settings


@pytest.fixture
def rows(servers: Settings) -> Iterator[Any]:
    with connected(servers) as cursor:
        cursor.execute(TABLES)
        cursor.execute(
            "INSERT INTO job (job_type, state, latest_heartbeat) VALUES ('SchedulerJob', 'running', now())"
        )
        yield cursor


@pytest.fixture
def broker(servers: Settings) -> Iterator[Redis]:
    with checks.broker(servers) as client:
        client.flushall()
        yield client


@pytest.fixture
def reconciler(
    servers: Settings, rows: Any, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reconciler]:
    """It has found everything well for long enough."""
    made = Reconciler(servers)
    made.well_since = time.monotonic() - 3600
    yield made
    made.database.drop()


def message(task_id: str) -> dict[str, Any]:
    return {
        "body": "",
        "headers": {"id": task_id},
        "properties": {"delivery_info": {"routing_key": "default"}},
    }


def holds(broker: Redis, task_id: str) -> None:
    """As kombu notes what a worker has taken."""
    broker.hset("unacked", "tag-" + task_id, json.dumps([message(task_id), "", "default"]))
    broker.zadd("unacked_index", {"tag-" + task_id: time.time()})


def report(broker: Redis, task_id: str, **times: float) -> None:
    """The supervisor of worker-0 reports the task lost, with the times of its start and loss."""
    who = {"worker": "worker-0", "hostname": "worker-0"}
    broker.hset(LOST_KEY, task_id, json.dumps({**who, **times}))


def task(
    rows: Any, task_id: str, state: str, age: float = 60.0, hostname: str = "worker-0"
) -> None:
    rows.execute(
        "INSERT INTO task_instance VALUES ('dag', 'run', 'task', %s, 'default', %s, now() - %s * interval '1 second',"
        " now() - %s * interval '1 second', now(), %s)",
        (state, hostname, age, age, task_id),
    )


def aged(rows: Any) -> list[str]:
    """Celery ids of the tasks that the scheduler will find without a heartbeat."""
    rows.execute(
        "SELECT external_executor_id FROM task_instance"
        " WHERE last_heartbeat_at < now() - interval '9 years' ORDER BY 1"
    )
    return [task_id for (task_id,) in rows.fetchall()]


def value(rows: Any, sql: str) -> Any:
    rows.execute(sql)
    return rows.fetchone()[0]


def test_a_queued_task_whose_message_nobody_has_is_made_to_be_queued_again(
    rows: Any, broker: Redis, reconciler: Reconciler
) -> None:
    for task_id in ("lost", "waiting", "held"):
        task(rows, task_id, "queued")
    task(rows, "fresh", "queued", age=1.0)
    broker.lpush("default\x06\x163", json.dumps(message("waiting")))
    holds(broker, "held")
    aged = "SELECT string_agg(external_executor_id, ',') FROM task_instance WHERE queued_dttm < now() - interval '9 years'"
    reconciler.sweep(time.monotonic())
    assert value(rows, aged) is None, "seen once it may be on its way"
    reconciler.sweep(time.monotonic())
    assert value(rows, aged) == "lost"
    assert reconciler.data["lost_messages"] == 1
    reconciler.sweep(time.monotonic())
    reconciler.sweep(time.monotonic())
    assert reconciler.data["lost_messages"] == 1, "and once only"


def test_the_tasks_of_a_dead_worker_lose_their_heartbeat_or_go_back_to_their_queue(
    rows: Any, broker: Redis, reconciler: Reconciler
) -> None:
    task(rows, "ran", "running")
    task(rows, "elsewhere", "running", hostname="worker-1")
    task(rows, "began-not", "queued")
    task(rows, "done", "success")
    for task_id in ("ran", "elsewhere", "began-not", "done"):
        holds(broker, task_id)
        broker.hset(
            LOST_KEY,
            task_id,
            json.dumps({"worker": "worker-0", "hostname": "worker-0", "noted": time.time()}),
        )
    rows.execute("INSERT INTO celery_taskmeta (task_id, status) VALUES ('done', 'STARTED')")
    reconciler.reports.give_back(reconciler.broker.lost())
    assert (
        value(
            rows,
            "SELECT external_executor_id FROM task_instance WHERE last_heartbeat_at < now() - interval '20 hours'",
        )
        == "ran"
    )
    assert (
        value(
            rows,
            "SELECT count(*) FROM task_instance WHERE last_heartbeat_at < now() - interval '20 hours'",
        )
        == 1
    )
    assert json.loads(broker.lrange("default", 0, -1)[0])["headers"] == {
        "id": "began-not",
        "redelivered": True,
    }
    assert value(rows, "SELECT count(*) FROM celery_taskmeta") == 0
    assert broker.hkeys("unacked") == [b"tag-ran"], "the scheduler has still to act on it"
    assert broker.hkeys(LOST_KEY) == [b"ran"]


def test_a_late_report_leaves_the_next_run_of_the_same_message_alone(
    rows: Any, broker: Redis, reconciler: Reconciler
) -> None:
    task(rows, "runs-again", "running", age=20.0)
    holds(broker, "runs-again")
    report(broker, "runs-again", started=time.time() - 90.0, noted=time.time() - 80.0)
    reconciler.reports.give_back(reconciler.broker.lost())
    assert aged(rows) == []
    assert not broker.hexists(LOST_KEY, "runs-again")


def test_a_loss_is_recognized_after_the_clock_has_stepped_back(
    rows: Any, broker: Redis, reconciler: Reconciler
) -> None:
    ahead = 600.0
    task(rows, "lost", "running", age=-ahead - 0.5)
    report(broker, "lost", started=time.time() + ahead, noted=time.time())
    task(rows, "runs-again", "running", age=-ahead - 60.0)
    report(broker, "runs-again", started=time.time() + ahead, noted=time.time())
    reconciler.reports.give_back(reconciler.broker.lost())
    assert aged(rows) == ["lost"]
    assert broker.hkeys(LOST_KEY) == [b"lost"]


def test_a_message_still_held_although_its_task_ended_is_removed(
    rows: Any, broker: Redis, reconciler: Reconciler
) -> None:
    for task_id, age in (("ended", 120), ("just-ended", 1)):
        holds(broker, task_id)
        rows.execute(
            "INSERT INTO celery_taskmeta (task_id, status, date_done) VALUES (%s, 'SUCCESS', localtimestamp - %s * interval '1 second')",
            (task_id, age),
        )
    reconciler.sweep(time.monotonic())
    assert broker.hkeys("unacked") == broker.zrange("unacked_index", 0, -1) == [b"tag-just-ended"]


def test_old_results_go_in_batches_and_those_of_live_tasks_stay(
    rows: Any, reconciler: Reconciler
) -> None:
    rows.execute(
        "INSERT INTO celery_taskmeta (task_id, status, date_done)"
        " SELECT 'old-' || n, 'SUCCESS', localtimestamp - interval '2 days' FROM generate_series(1, 2500) n"
        " UNION SELECT 'new', 'SUCCESS', localtimestamp"
    )
    task(rows, "old-7", "running")
    assert reconciler.database.delete_old_results() == 2499
    rows.execute("SELECT task_id FROM celery_taskmeta ORDER BY 1")
    assert rows.fetchall() == [("new",), ("old-7",)]


def test_of_two_schedulers_that_the_database_knows_the_dead_one_is_aged(
    rows: Any, reconciler: Reconciler
) -> None:
    rows.execute(
        "INSERT INTO job (job_type, state, latest_heartbeat)"
        " VALUES ('SchedulerJob', 'running', pg_postmaster_start_time() - interval '40 seconds')"
    )
    assert reconciler.database.age_dead_schedulers(None, "here") == 1, (
        "silent since before the database"
    )
    rows.execute("UPDATE job SET latest_heartbeat = now() - interval '40 seconds' WHERE id = 2")
    assert reconciler.database.age_dead_schedulers(1, "here") == 1
    assert (
        value(rows, "SELECT count(*) FROM job WHERE latest_heartbeat < now() - interval '20 hours'")
        == 1
    )
    age = reconciler.database.scheduler_age()
    assert age is not None
    assert age < 60


@pytest.mark.parametrize(
    ("first", "second", "dead"),
    [("here", "here", 1), ("here", "elsewhere", 0), ("elsewhere", "here", 0)],
)
def test_only_schedulers_of_this_host_are_compared_with_its_processes(
    rows: Any,
    reconciler: Reconciler,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    second: str,
    dead: int,
) -> None:
    monkeypatch.setattr(database, "SILENT_SCHEDULER_SECONDS", 0.0)
    rows.execute("UPDATE job SET hostname = %s", (first,))
    rows.execute(
        "INSERT INTO job (job_type, state, latest_heartbeat, hostname) VALUES"
        " ('SchedulerJob', 'running', pg_postmaster_start_time() + interval '1 ms', %s)",
        (second,),
    )
    assert reconciler.database.age_dead_schedulers(1, "here") == dead


def test_one_reconciler_leads_and_the_next_one_does_when_its_connection_ends(
    servers: Settings, reconciler: Reconciler
) -> None:
    other = Database(reconciler.database.url)
    try:
        assert reconciler.database.lead()
        assert not other.lead()
        reconciler.database.drop()
        end = time.monotonic() + 10
        while not other.lead():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert not reconciler.database.lead()
    finally:
        other.drop()


def test_a_whole_round_does_it(
    rows: Any, broker: Redis, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.0)
    task(rows, "lost", "queued")
    states = []
    for _ in range(2):
        reconciler.due["sweep"] = 0.0
        states.append(reconciler.round(time.monotonic()))
    assert states == ["working", "working"]
    assert reconciler.data["lost_messages"] == 1
