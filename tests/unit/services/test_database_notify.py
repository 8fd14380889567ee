"""The database notifies, and a listener goes on without it: on a real PostgreSQL, without Airflow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.servers import connected, pooled, running
from windtunnel.clients.postgres import libpq_url
from windtunnel.drill.tcp_proxy import TcpProxy
from windtunnel.services import database_notify, notify_triggers
from windtunnel.settings import Settings

#: As much of Airflow's tables as the triggers and the question for quiet need.
TABLES = """
CREATE TABLE task_instance (dag_id text, run_id text, task_id text, state text);
CREATE TABLE dag_run (state text);
CREATE TABLE callback (state text);
CREATE TABLE dag (next_dagrun_create_after timestamptz, is_paused bool, is_stale bool)"""
DROP = "DROP TABLE IF EXISTS task_instance, dag_run, callback, dag"


@pytest.fixture(autouse=True)
def enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's logging configuration, which other tests load, disables every logger made before."""
    monkeypatch.setattr(database_notify.log, "disabled", False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("wake") / "state", "postgres") as settings:
        yield settings


@pytest.fixture
def database(server: Settings) -> Iterator[Any]:
    """A cursor; the tables are new and without triggers."""
    with connected(server) as cursor:
        cursor.execute(DROP)
        cursor.execute(TABLES)
        yield cursor


def listen(settings: Settings, port: int | None = None) -> database_notify.Listener:
    url = libpq_url(settings)
    return database_notify.Listener(
        url.replace(f":{settings.ports.postgres}/", f":{port}/") if port else url, who="test"
    )


def triggers(database: Any) -> set[str]:
    database.execute(
        "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'windtunnel%' AND tgenabled <> 'D'"
    )
    return {name for (name,) in database.fetchall()}


def test_triggers_are_made_where_there_is_none_or_an_old_one_and_are_left_alone_otherwise(
    database: Any,
) -> None:
    connection = database.connection
    connection.autocommit = False
    made = notify_triggers.install(connection)
    assert (
        triggers(database)
        == set(made)
        >= {"windtunnel_task", "windtunnel_run", "windtunnel_callback"}
    )
    assert notify_triggers.install(connection) == []
    database.execute("COMMENT ON TRIGGER windtunnel_run ON dag_run IS 'of another version'")
    database.execute("ALTER TABLE callback DISABLE TRIGGER windtunnel_callback")
    connection.commit()
    assert sorted(notify_triggers.install(connection)) == ["windtunnel_callback", "windtunnel_run"]
    assert triggers(database) == set(made)
    notify_triggers.drop(connection)
    assert triggers(database) == set()
    database.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'windtunnel%'")
    assert database.fetchone() == (0,)


def test_a_listener_ends_a_sleep_when_a_task_ends(server: Settings, database: Any) -> None:
    listener = listen(server)
    listener.acknowledge()
    database.execute("INSERT INTO task_instance VALUES ('d', 'r', 't', 'running')")
    listener.acknowledge()
    ended: list[float] = []

    def end_the_task() -> None:
        time.sleep(0.3)
        with connected(server) as cursor:
            ended.append(time.monotonic())
            cursor.execute("UPDATE task_instance SET state = 'success'")

    threading.Thread(target=end_the_task).start()
    listener.wait(20)
    assert time.monotonic() - ended[0] < 5
    assert listener.notified()


def test_triggers_that_are_gone_are_noticed_at_the_connection_and_made_anew(
    server: Settings, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert listen(server).notified()
    assert "triggers were missing" in caplog.text
    assert "windtunnel_task" in triggers(database)


def test_triggers_that_go_while_it_listens_are_noticed_too(
    server: Settings, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`airflow db reset` beside a running scheduler: nothing holds a lock on the tables, the connection stays."""
    listener = listen(server)
    listener.acknowledge()
    assert not listener.notified()
    database.execute(DROP)
    database.execute(TABLES)
    assert triggers(database) == set()
    monkeypatch.setattr(listener, "_check_at", 0.0)
    assert listener.notified(), "no notification came for what happened meanwhile"
    assert "windtunnel_task" in triggers(database)


def test_where_triggers_are_missing_and_may_not_be_made_everything_is_news_and_it_is_said_once(
    server: Settings, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # As under a role that does not own the tables: making a trigger fails.
    database.execute("DROP TABLE task_instance")
    database.execute(
        "CREATE VIEW task_instance AS SELECT 'd' AS dag_id, 'r' AS run_id, 'success' AS state"
    )
    try:
        listener = listen(server)
        subscription = database_notify.Subscription(listener, 3600.0)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert listener.notified()
                assert subscription.is_due()
                assert listener.quiet_for(5.0) == 0.0
                listener.not_before = 0.0  # the pause is over
        assert not listener.listening
        assert len(caplog.records) == 1, caplog.text
        assert "cannot be made" in caplog.text
        start = time.monotonic()
        listener.acknowledge()
        listener.wait(0.2)
        assert time.monotonic() - start >= 0.2, "a plain sleep"
    finally:
        database.execute("DROP VIEW task_instance")
    database.execute(
        "CREATE TABLE task_instance (dag_id text, run_id text, task_id text, state text)"
    )
    listener.not_before = 0.0
    listener.acknowledge()
    assert not listener.notified()


def test_a_half_open_connection_holds_nobody_up_for_five_seconds(
    server: Settings, database: Any
) -> None:
    with TcpProxy(server.ports.postgres) as wire:
        listener = listen(server, wire.port)
        listener.acknowledge()
        assert listener.quiet_for(5.0) == 5.0
        wire.cut(silent=True)
        for _ in ("a question on the old connection", "the attempt to connect again"):
            start = time.monotonic()
            assert listener.quiet_for(5.0) == 0.0
            assert time.monotonic() - start < 5
            assert not listener.listening
            listener.not_before = 0.0  # the pause is over
        wire.heal()
        listener.acknowledge()
        assert listener.quiet_for(5.0) == 5.0


def test_a_half_open_connection_is_noticed_although_nobody_asks_anything(
    server: Settings, database: Any
) -> None:
    with TcpProxy(server.ports.postgres) as wire:
        listener = listen(server, wire.port)
        listener.acknowledge()
        wire.cut(silent=True)
        listener._check_at = 0.0
        start = time.monotonic()
        assert listener.notified()
        assert time.monotonic() - start < 5
        assert not listener.listening


def test_the_kernel_watches_the_connection(server: Settings, database: Any) -> None:
    listener = listen(server)
    listener.acknowledge()
    parameters = listener.connection.info.dsn_parameters
    assert {
        name: int(parameters[name]) for name in database_notify.KEEPALIVE
    } == database_notify.KEEPALIVE


def test_a_listener_outlives_the_end_of_its_session(server: Settings, database: Any) -> None:
    listener = listen(server)
    listener.acknowledge()
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'windtunnel test wake'"
    )
    end = time.monotonic() + 10
    while listener.listening:
        listener.wait(0.1)
        assert time.monotonic() < end
    assert listener.notified()
    listener.not_before = 0.0
    assert listener.notified()
    assert listener.listening


def test_a_refused_connection_raises_nothing() -> None:
    listener = database_notify.Listener("postgresql://nobody@127.0.0.1:1/none")
    assert listener.notified()
    assert isinstance(listener._complaint, str)
    with pytest.raises(psycopg2.Error):
        psycopg2.connect(listener.url)


@pytest.fixture
def pooler(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with pooled(server, tmp_path_factory.mktemp("pooler")) as port:
        yield port


def test_behind_a_pooler_everything_is_news_and_it_is_said_once(
    server: Settings, database: Any, pooler: int, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listen(server, pooler)
    for _ in range(3):
        assert listener.notified() and not listener.listening
    [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "a connection pooler stands before PostgreSQL" in warning


def test_a_session_that_answers_with_another_number_is_behind_a_pooler(
    server: Settings, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without PgBouncer, which few machines have."""
    listener = listen(server)
    ask = listener._ask

    def other_number(sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        return [(0,)] if "pg_backend_pid" in sql else ask(sql, values)

    assert listener.notified() and listener.listening
    listener._lost("", 0)
    monkeypatch.setattr(listener, "_ask", other_number)
    assert listener.notified() and not listener.listening
