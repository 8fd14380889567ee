"""Looks at a database that somebody else runs, before a stack changes anything in it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection

from windtunnel.clients.postgres import without_driver
from windtunnel.errors import WindtunnelError
from windtunnel.project import versions
from windtunnel.services import revisions
from windtunnel.services.postgres import OLDEST_MAJOR
from windtunnel.system.waiting import wait_for
from windtunnel.variables.database_url import VARIABLE, Database

#: The database has this time to accept a connection.
CONNECT_SECONDS = 10
#: A scheduler whose heartbeat is younger works with the database (stock writes one every 5 s).
HEARTBEAT_SECONDS = 30
#: The clocks of the database and of a scheduler's host may be this far apart.
WRONG_CLOCK_SECONDS = 3600
#: A scheduler that lives writes its next heartbeat within this time.
BEAT_SECONDS = 12.0


def check(
    database: Database,
    connections: int,
    say: Callable[[str], None] = lambda _: None,
    *,
    again: bool = False,
) -> list[str]:
    """Look at a database that `up` is about to use.

    Args:
        connections: as many as the stack may open.
        say: prints a line where the look takes longer.
        again: the last stack of this state folder used it, so a newer Airflow may migrate it.

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
        _require_writable(connection, database)
        _require_airflow(connection, database)
        _require_revision(connection, database, again)
        _require_alone(connection, database, say)
        return _too_few(connection, database, connections)


def _require_version(connection: Connection, database: Database) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_MAJOR:
        fault = f"the database {database.name} is PostgreSQL {major}"
        raise WindtunnelError(f"{fault}, and {OLDEST_MAJOR} or newer is needed: name another one")


def _require_writable(connection: Connection, database: Database) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool")
        (is_standby, read_only) = cursor.fetchone() or (False, False)
    if is_standby or read_only:
        kind = "a standby" if is_standby else "read-only for this user"
        fault = f"the database {database.name} is {kind}, and Airflow has to write"
        raise WindtunnelError(f"{fault}: name the primary server in {VARIABLE}")


def _require_airflow(connection: Connection, database: Database) -> None:
    """A variable of this name often belongs to a program of the person's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('alembic_version') IS NOT NULL"
            " AND to_regclass('dag_run') IS NOT NULL,"
            " (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
            # `airflow db reset` leaves these: Celery's results, and what `db clean` has kept.
            r" AND tablename !~ '^(celery_(taskset|task)meta$|_airflow_)'),"
            " has_schema_privilege(current_schema(), 'CREATE')"
        )
        (is_airflows, tables, may_create) = cursor.fetchone() or (False, 0, False)
    if tables and not is_airflows:
        fault = f"the database {database.name} has tables that are not Airflow's ({tables})"
        step = f"name an empty database in {VARIABLE}, or unset it"
        raise WindtunnelError(f"{fault}: {step}; nothing was changed")
    if not may_create:
        fault = f"the user of the database {database.name} may not create tables in it"
        raise WindtunnelError(f"{fault}: make that user the owner of the database")


def _require_revision(connection: Connection, database: Database, again: bool) -> None:
    """The database is shared by state folders of several versions; a migration has no way back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
        if not (cursor.fetchone() or (False,))[0]:
            return
        cursor.execute("SELECT version_num FROM alembic_version")
        found = {str(revision) for (revision,) in cursor.fetchall()}
    every, newest = revisions.known()
    if not newest or found <= newest or (again and found <= every):
        return
    here = f"Airflow {versions.running()}"
    fault = f"the database {database.name} has the tables of another Airflow"
    if not found <= every:
        step = f"start the Airflow that made them, or name another database in {VARIABLE}"
        raise WindtunnelError(f"{fault}, which {here} cannot use: {step}; nothing was changed")
    fault += f", an older one; {here} would migrate them, and there is no way back"
    step = f"name another database in {VARIABLE}, or make a copy and run `airflow db migrate` of"
    raise WindtunnelError(f"{fault}: {step} {here} on it yourself; nothing was changed")


def _require_alone(connection: Connection, database: Database, say: Callable[[str], None]) -> None:
    """The tasks of two stacks in one database would go to two brokers."""
    former = _schedulers(connection)
    if not former:
        return
    living = next((s for s in former.values() if s.is_young and s.host != socket.getfqdn()), None)
    if living is None:
        # A stack that was killed a moment ago leaves the same trace; so does a host's wrong clock.
        host = next(iter(former.values())).host
        say(f"a scheduler on {host} worked with {database.name} not long ago; looking again")

        def beating() -> Scheduler | None:
            found = _schedulers(connection).items()
            return next((s for id, s in found if id in former and s.beat != former[id].beat), None)

        wait_for(lambda: beating() is not None, BEAT_SECONDS, 0.5)
        living = beating()
    if living is None:
        return
    fault = f"a scheduler on {living.host} works with the database {database.name}"
    raise WindtunnelError(f"{fault}: stop it, or name another database in {VARIABLE}")


class Scheduler(NamedTuple):
    """One that has not ended by itself. Its heartbeat has the time of its own host's clock."""

    host: str
    beat: str
    is_young: bool


def _schedulers(connection: Connection) -> dict[int, Scheduler]:
    """By their ids, the youngest heartbeat first."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('job') IS NOT NULL")
        if not (cursor.fetchone() or (False,))[0]:
            return {}
        cursor.execute(
            "SELECT id, hostname, latest_heartbeat::text,"
            " abs(extract(epoch FROM now() - latest_heartbeat)) < %s FROM job"
            " WHERE job_type = 'SchedulerJob' AND state = 'running'"
            " AND abs(extract(epoch FROM now() - latest_heartbeat)) < %s"
            " ORDER BY latest_heartbeat DESC",
            (HEARTBEAT_SECONDS, WRONG_CLOCK_SECONDS),
        )
        return {id: Scheduler(host, beat, young) for id, host, beat, young in cursor.fetchall()}


def _too_few(connection: Connection, database: Database, connections: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int")
        (most,) = cursor.fetchone() or (connections,)
    if most >= connections:
        return []
    fault = f"the database {database.name} takes {most} connections"
    return [f"{fault}, and this stack may need {connections}: raise max_connections there"]
