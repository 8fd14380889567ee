"""Looks at a database that somebody else runs, before a stack changes anything in it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import psycopg2
from psycopg2.extensions import connection as Connection

from windtunnel.clients.postgres import without_driver
from windtunnel.errors import WindtunnelError
from windtunnel.services.postgres import OLDEST_MAJOR
from windtunnel.system.waiting import wait_for
from windtunnel.variables.database_url import VARIABLE, Database

#: The database has this time to accept a connection.
CONNECT_SECONDS = 10
#: A scheduler whose heartbeat is younger works with the database (stock writes one every 5 s).
HEARTBEAT_SECONDS = 30
#: A scheduler that lives writes its next heartbeat within this time.
BEAT_SECONDS = 12.0


def check(
    database: Database,
    connections: int,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Look at a database that `up` is about to use.

    Args:
        connections: as many as the stack may open.
        say: prints a line where the look takes longer.

    Returns:
        What a person should know; nothing in the normal case.

    Raises:
        WindtunnelError: it does not let us in, is not ours to use, or is used by another Airflow.
    """
    try:
        connection = psycopg2.connect(
            without_driver(database.url),
            connect_timeout=CONNECT_SECONDS,
            application_name="windtunnel up",
        )
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        step = f"correct {VARIABLE}, or unset it to have a PostgreSQL of the stack's own"
        message = f"the database {database.name} cannot be used: {reason}: {step}"
        raise WindtunnelError(message) from None
    with contextlib.closing(connection):
        _require_version(connection, database)
        _require_airflow(connection, database)
        _require_alone(connection, database, say)
        return _too_few(connection, database, connections)


def _require_version(connection: Connection, database: Database) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_MAJOR:
        fault = f"the database {database.name} is PostgreSQL {major}"
        raise WindtunnelError(f"{fault}, and {OLDEST_MAJOR} or newer is needed: name another one")


def _require_airflow(connection: Connection, database: Database) -> None:
    """A variable of this name often belongs to a program of the person's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('alembic_version') IS NOT NULL"
            " AND to_regclass('dag_run') IS NOT NULL,"
            " (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()),"
            " has_schema_privilege(current_schema(), 'CREATE')"
        )
        (is_airflows, tables, may_create) = cursor.fetchone() or (False, 0, False)
    if tables and not is_airflows:
        fault = f"the database {database.name} has {tables} tables, and they are not Airflow's"
        step = f"name an empty database in {VARIABLE}, or unset it"
        raise WindtunnelError(f"{fault}: {step}; nothing was changed")
    if not may_create:
        fault = f"the user of the database {database.name} may not create tables in it"
        raise WindtunnelError(f"{fault}: make that user the owner of the database")


def _require_alone(connection: Connection, database: Database, say: Callable[[str], None]) -> None:
    """The tasks of two stacks in one database would go to two brokers."""
    former = _scheduler(connection)
    if former is None:
        return
    host, _ = former
    if host == socket.getfqdn():
        # A stack of this machine that was killed a moment ago leaves the same trace.
        say(f"a scheduler of this machine worked with {database.name} a moment ago; looking again")
        if not wait_for(lambda: _scheduler(connection) not in (None, former), BEAT_SECONDS, 0.5):
            return
    fault = f"a scheduler on {host} works with the database {database.name}"
    raise WindtunnelError(f"{fault}: stop it, or name another database in {VARIABLE}")


def _scheduler(connection: Connection) -> tuple[str, str] | None:
    """The host of a scheduler with a young heartbeat, and that heartbeat."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('job') IS NOT NULL")
        if not (cursor.fetchone() or (False,))[0]:
            return None
        cursor.execute(
            "SELECT hostname, latest_heartbeat::text FROM job"
            " WHERE job_type = 'SchedulerJob' AND state = 'running'"
            " AND latest_heartbeat > now() - make_interval(secs => %s)"
            " ORDER BY hostname = %s, latest_heartbeat DESC LIMIT 1",
            (HEARTBEAT_SECONDS, socket.getfqdn()),
        )
        return cursor.fetchone()


def _too_few(connection: Connection, database: Database, connections: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int")
        (most,) = cursor.fetchone() or (connections,)
    if most >= connections:
        return []
    fault = f"the database {database.name} takes {most} connections"
    return [f"{fault}, and this stack may need {connections}: raise max_connections there"]
