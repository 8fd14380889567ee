"""`python -m windtunnel.services.migrate`: brings the database to this Airflow's version.

It waits for PostgreSQL first. `airflow db migrate` imports all of Airflow, so it runs only when the
packages have changed since the last time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from windtunnel.clients.postgres import connect
from windtunnel.errors import WindtunnelError, exit_code
from windtunnel.services import migration_gate, notify_triggers, project_objects
from windtunnel.settings import Settings, load
from windtunnel.variables.patch_switch import triggers_wanted


def _fingerprint() -> str:
    """Changes whenever a package that owns tables does."""
    packages = ("apache-airflow-core", "apache-airflow-providers-celery", "celery")
    versions = json.dumps({name: version(name) for name in packages})
    return hashlib.sha256(versions.encode()).hexdigest()


def _current_revision(connection: Connection) -> str | None:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        (table,) = cursor.fetchone() or (None,)
        if table is None:
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        (revision,) = cursor.fetchone() or (None,)
        return None if revision is None else str(revision)


def _triggers(change: Callable[[Connection], object], connection: Connection) -> None:
    """Changes our triggers. They only make Airflow quicker, so a refusal costs one warning."""
    try:
        change(connection)
    except psycopg2.Error as error:
        connection.rollback()
        reason = str(error).strip().partition("\n")[0]
        print(
            "windtunnel: warning: cannot change the triggers that notify Airflow of work "
            f"({reason}): Airflow looks for work by itself, as stock Airflow does"
        )


def migrate(settings: Settings) -> bool:
    """Migrate where needed; returns whether Airflow's own migration ran.

    It looks for our triggers each time, since `airflow db reset` and a restored dump leave none.
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
        # Airflow may rebuild the tables: an old version of our triggers must not block that.
        _triggers(notify_triggers.drop, connection)
        command = [sys.executable, "-m", "windtunnel.runtime.component", "db", "migrate"]
        if os.spawnv(os.P_WAIT, sys.executable, command) != 0:
            raise WindtunnelError("`airflow db migrate` failed: the lines above have its reason")
        _triggers(triggers, connection)
        done.write_text(json.dumps(wanted | {"revision": _current_revision(connection)}))
        print(f"migrated in {time.monotonic() - start:.1f} s", flush=True)
        return True
    finally:
        connection.close()


def main() -> None:
    settings = load(client=False)
    if not migrate(settings):
        print("the database is up to date")
    # DAG files may read variables when they are parsed, so this comes before the others go on.
    with contextlib.closing(connect(settings)) as connection:
        project_objects.bring(settings, connection)
    migration_gate.announce(settings)


if __name__ == "__main__":
    sys.exit(exit_code(main))
