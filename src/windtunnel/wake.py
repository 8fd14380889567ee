"""PostgreSQL tells the scheduler that there is work: triggers that NOTIFY, and the waiting end.

`install` is called by the migration step. Without the triggers, or without the database, a wait is a plain sleep.
"""

from __future__ import annotations

import logging
import select
import time
from typing import Any

log = logging.getLogger(__name__)

CHANNEL = "windtunnel_wake"
#: After trouble with its own connection the alarm sleeps plainly for this long.
PAUSE_SECONDS = 5.0
#: Several changes of one moment make one round of the scheduler.
GATHER_SECONDS = 0.01

_FINAL = "'success','failed','skipped','up_for_retry','upstream_failed','removed'"
_FUNCTION = f"CREATE OR REPLACE FUNCTION {CHANNEL}() RETURNS trigger AS $$ BEGIN NOTIFY {CHANNEL}; RETURN NULL; END $$ LANGUAGE plpgsql"
#: name -> (table, event, condition)
_TRIGGERS = {
    "windtunnel_task": (
        "task_instance",
        "AFTER UPDATE OF state",
        # deferred -> scheduled is written by the triggerer, every other step to `scheduled` by the scheduler itself.
        f"NEW.state IS DISTINCT FROM OLD.state AND (NEW.state IN ({_FINAL}) OR NEW.state IS NULL"
        " OR (OLD.state = 'deferred' AND NEW.state = 'scheduled'))",
    ),
    "windtunnel_run": ("dag_run", "AFTER INSERT", "true"),
    "windtunnel_run_again": (
        "dag_run",
        "AFTER UPDATE OF state",
        "NEW.state = 'queued' AND NEW.state IS DISTINCT FROM OLD.state",
    ),
}


def install(connection: Any) -> None:
    """Creates the function and the triggers where they are missing or old.

    Args:
        connection: a psycopg2 connection of the owner of Airflow's tables; committed here.

    Raises:
        psycopg2.Error: the database refused.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTION)
        for name, (table, event, condition) in _TRIGGERS.items():
            cursor.execute("SELECT to_regclass(%s)", (table,))
            if cursor.fetchone()[0] is None:
                continue
            # Replacing needs a short lock on the table: not done where the same one is there already.
            comment = f"{event} {condition}"
            cursor.execute(
                "SELECT obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgname = %s AND tgrelid = to_regclass(%s)",
                (name, table),
            )
            row = cursor.fetchone()
            if row is not None and row[0] == comment:
                continue
            cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            cursor.execute(f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {CHANNEL}()")
            cursor.execute(f"COMMENT ON TRIGGER {name} ON {table} IS %s", (comment,))
    connection.commit()


class Alarm:
    """A sleep that NOTIFY ends early.

    Args:
        url: the database, as SQLAlchemy or libpq spells it.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme.partition('+')[0]}://{rest}"
        self.connection: Any = None
        self.not_before = 0.0

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there was a notification since the last call."""
        import psycopg2

        end = time.monotonic() + seconds
        try:
            if self._listening(seconds):
                self.connection.poll()
                if not self.connection.notifies:
                    select.select([self.connection], [], [], max(0.0, end - time.monotonic()))
                    self.connection.poll()
                if self.connection.notifies:
                    time.sleep(max(0.0, min(GATHER_SECONDS, end - time.monotonic())))
                    self.connection.poll()
                    self.connection.notifies.clear()
                return
        except (psycopg2.Error, OSError, ValueError) as error:
            log.warning("scheduler wake: %s; plain sleep for %.0f s", str(error).strip(), PAUSE_SECONDS)
            self.connection = None
            self.not_before = time.monotonic() + PAUSE_SECONDS
        time.sleep(max(0.0, end - time.monotonic()))

    def _listening(self, seconds: float) -> bool:
        import psycopg2

        if self.connection is not None:
            return True
        if seconds <= 0 or time.monotonic() < self.not_before:
            return False
        self.connection = psycopg2.connect(self.url, connect_timeout=2, application_name="windtunnel scheduler wake")
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return True
