"""What `up` looks at in a database of another service, on a real PostgreSQL."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from windtunnel.clients.postgres import libpq_url
from windtunnel.errors import WindtunnelError
from windtunnel.services import outside_database, revisions
from windtunnel.stack import ports
from windtunnel.variables.database_url import Database, parse

#: As much of Airflow's tables as `up` looks at.
JOBS = """
CREATE TABLE alembic_version (version_num text);
CREATE TABLE dag_run (id int);
CREATE TABLE job (hostname text, job_type text, state text, latest_heartbeat timestamptz,
  id serial)"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    with servers.running(tmp_path_factory.mktemp("outside"), "postgres") as settings:
        with servers.connected(settings) as cursor:
            yield libpq_url(settings), cursor


@pytest.fixture
def database(url: tuple[str, Any]) -> Iterator[tuple[Database, Any]]:
    text, cursor = url
    cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    found = parse(text)
    assert found is not None
    yield found, cursor


def test_an_empty_database_is_taken(database: tuple[Database, Any]) -> None:
    assert outside_database.check(database[0], 10) == []


def test_too_few_connections_are_said(database: tuple[Database, Any]) -> None:
    [warning] = outside_database.check(database[0], 100_000)
    assert "may need 100000" in warning and database[0].name in warning


def test_a_database_with_the_tables_of_another_program_is_refused(
    database: tuple[Database, Any],
) -> None:
    found, cursor = database
    cursor.execute("CREATE TABLE customers (id int)")
    with pytest.raises(WindtunnelError, match=r"has tables that are not Airflow's \(1\)"):
        outside_database.check(found, 10)


def test_the_revisions_are_those_of_the_installed_airflow() -> None:
    from airflow.utils.db import _REVISION_HEADS_MAP

    every, newest = revisions.known()
    assert {_REVISION_HEADS_MAP["3.1.0"], _REVISION_HEADS_MAP["3.2.0"]} <= every
    assert newest == {list(_REVISION_HEADS_MAP.values())[-1]}


def test_the_tables_of_an_older_airflow_are_not_migrated_unasked(
    database: tuple[Database, Any],
) -> None:
    """Only where the last stack of this state folder used them: windtunnel was updated."""
    found, cursor = database
    every, newest = revisions.known()
    cursor.execute(JOBS)
    cursor.execute("INSERT INTO alembic_version VALUES (%s)", (min(every - newest),))
    with pytest.raises(WindtunnelError, match=r"an older one.*no way back.*nothing was changed"):
        outside_database.check(found, 10)
    assert outside_database.check(found, 10, again=True) == []
    cursor.execute("UPDATE alembic_version SET version_num = %s", (min(newest),))
    assert outside_database.check(found, 10) == []


@pytest.mark.parametrize("again", [True, False])
def test_the_tables_of_a_newer_airflow_are_refused(
    database: tuple[Database, Any], again: bool
) -> None:
    found, cursor = database
    cursor.execute(JOBS)
    cursor.execute("INSERT INTO alembic_version VALUES ('123456abcdef')")
    with pytest.raises(WindtunnelError, match="cannot use: start the Airflow that made them"):
        outside_database.check(found, 10, again=again)


def test_a_database_that_only_reads_is_refused(database: tuple[Database, Any]) -> None:
    found, cursor = database
    cursor.execute("ALTER ROLE airflow SET default_transaction_read_only = on")
    try:
        with pytest.raises(WindtunnelError, match=r"read-only for this user.*name the primary"):
            outside_database.check(found, 10)
    finally:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute("ALTER ROLE airflow RESET default_transaction_read_only")


def test_what_airflow_db_reset_leaves_is_no_other_programs(database: tuple[Database, Any]) -> None:
    found, cursor = database
    cursor.execute("CREATE TABLE celery_taskmeta (); CREATE TABLE celery_tasksetmeta ()")
    cursor.execute("CREATE TABLE _airflow_deleted__job__20261201 ()")
    assert outside_database.check(found, 10) == []
    cursor.execute("CREATE TABLE celery_other ()")
    with pytest.raises(WindtunnelError, match=r"has tables that are not Airflow's \(1\)"):
        outside_database.check(found, 10)


@pytest.mark.parametrize("clock", ["-5 minutes", "5 minutes"])
def test_a_living_scheduler_whose_host_has_a_wrong_clock_is_found(
    database: tuple[Database, Any], monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    found, cursor = database
    monkeypatch.setattr(outside_database, "BEAT_SECONDS", 3.0)
    cursor.execute(JOBS)
    cursor.execute("INSERT INTO job VALUES ('elsewhere', 'SchedulerJob', 'running')")
    beat = "UPDATE job SET latest_heartbeat = now() + %s::interval"
    cursor.execute(beat, (clock,))
    with pytest.raises(WindtunnelError, match="a scheduler on elsewhere works with"):
        outside_database.check(found, 10, lambda _: cursor.execute(beat, (clock,)))


def test_a_database_with_which_another_hosts_scheduler_works_is_refused(
    database: tuple[Database, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside_database, "BEAT_SECONDS", 1.0)
    found, cursor = database
    cursor.execute(JOBS)
    cursor.execute("INSERT INTO job VALUES ('elsewhere', 'SchedulerJob', 'running', now())")
    with pytest.raises(WindtunnelError, match="a scheduler on elsewhere works with the database"):
        outside_database.check(found, 10)
    cursor.execute("UPDATE job SET latest_heartbeat = now() - interval '5 minutes'")
    assert outside_database.check(found, 10) == []


@pytest.mark.parametrize("lives", [True, False])
def test_of_a_scheduler_of_this_machine_the_next_heartbeat_decides(
    database: tuple[Database, Any], monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    """Another stack here, or one of ours that was killed a moment ago."""
    found, cursor = database
    monkeypatch.setattr(outside_database, "BEAT_SECONDS", 3.0)
    cursor.execute(JOBS)
    cursor.execute(
        "INSERT INTO job VALUES (%s, 'SchedulerJob', 'running', now())", (socket.getfqdn(),)
    )
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if lives:
            cursor.execute("UPDATE job SET latest_heartbeat = now()")

    if lives:
        with pytest.raises(WindtunnelError, match="works with the database"):
            outside_database.check(found, 10, say)
    else:
        assert outside_database.check(found, 10, say) == []
    assert "worked with" in said[0]


def test_a_wrong_password_is_named_without_the_password(database: tuple[Database, Any]) -> None:
    wrong = parse(f"postgresql://airflow:hush@{database[0].name}")
    assert wrong is not None
    with pytest.raises(WindtunnelError, match="password authentication failed") as error:
        outside_database.check(wrong, 10)
    assert "hush" not in str(error.value)


def test_a_database_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_database, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = parse(f"postgresql://airflow:hush@127.0.0.1:{silent.getsockname()[1]}/airflow")
        assert away is not None
        began = time.monotonic()
        with pytest.raises(WindtunnelError, match="timeout expired"):
            outside_database.check(away, 10)
        assert time.monotonic() - began < 20


def test_a_database_that_is_not_there_is_named_with_the_step(tmp_path: Path) -> None:
    away = parse(f"postgresql://airflow:hush@127.0.0.1:{ports.free_port()}/airflow")
    assert away is not None
    with pytest.raises(
        WindtunnelError, match=r"Connection refused.*correct DATABASE_URL, or unset"
    ):
        outside_database.check(away, 10)
