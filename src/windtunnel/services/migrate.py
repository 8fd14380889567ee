"""`python -m windtunnel.services.migrate`: wait for PostgreSQL, then bring the database to this Airflow's version.

`airflow db migrate` imports all of Airflow, so it runs only when the packages have changed since the last time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psycopg2

from windtunnel.clients.postgres import connect
from windtunnel.errors import WindtunnelError
from windtunnel.services import migration_gate, notify_triggers
from windtunnel.settings import Settings, load
from windtunnel.variables.patch_switch import triggers_wanted


def _fingerprint() -> str:
    """Changes whenever a package that owns tables does."""
    packages = ("apache-airflow-core", "apache-airflow-providers-celery", "celery")
    return hashlib.sha256(json.dumps({name: version(name) for name in packages}).encode()).hexdigest()


def _current_revision(connection: psycopg2.extensions.connection) -> str | None:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        row = cursor.fetchone()
        if not row or row[0] is None:
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        return str(row[0]) if row else None


def _triggers(change: Callable[[psycopg2.extensions.connection], object], connection: psycopg2.extensions.connection) -> None:
    """Ours only make Airflow quicker: a database that refuses them costs one warning, not the stack."""
    try:
        change(connection)
    except psycopg2.Error as error:
        connection.rollback()
        reason = str(error).strip().partition("\n")[0]
        print(f"windtunnel: warning: the triggers that tell of work cannot be changed ({reason}): Airflow looks for it by itself, as stock")


def migrate(settings: Settings) -> bool:
    """Migrate where needed; returns whether Airflow's own migration ran.

    The triggers of ours are looked for each time, whatever was written down: `airflow db reset` and a restored dump have none.
    """
    done: Path = settings.state / "migrated.json"
    connection = connect(settings)
    triggers = notify_triggers.install if triggers_wanted() else notify_triggers.drop
    try:
        wanted = {"packages": _fingerprint(), "revision": _current_revision(connection)}
        try:
            known = dict(json.loads(done.read_text()))
        except (OSError, ValueError, TypeError):
            known = {}
        if wanted["revision"] is not None and wanted.items() <= known.items():
            _triggers(triggers, connection)
            return False
        print("migrating the database …", flush=True)
        start = time.monotonic()
        # Airflow may rebuild the tables below: a trigger of an old version of ours must not stand in its way.
        _triggers(notify_triggers.drop, connection)
        if os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "windtunnel.runtime.component", "db", "migrate"]) != 0:
            raise WindtunnelError("`airflow db migrate` failed: its own lines above say why")
        _triggers(triggers, connection)
        done.write_text(json.dumps(wanted | {"revision": _current_revision(connection)}))
        print(f"migrated in {time.monotonic() - start:.1f} s", flush=True)
        return True
    finally:
        connection.close()


def main() -> int:
    try:
        settings = load(client=False)
        if not migrate(settings):
            print("the database is up to date")
        migration_gate.announce(settings)
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
