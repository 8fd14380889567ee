"""Triggers in Airflow's database that NOTIFY the components that wait for work.

The components listen with `database_notify.Listener`. This file makes, lists and drops triggers.
Each is made in a transaction of its own. So no lock is held on two tables at once, and no
transaction of Airflow's can deadlock with it.
"""

from __future__ import annotations

import hashlib
from typing import Any

CHANNEL = "windtunnel_wake"
#: For the DAG processor: a callback, or a request to parse a DAG again.
FILES = "windtunnel_files"
#: For the triggerer.
DEFERRED = "windtunnel_deferred"
#: With at most this many unfinished tasks in a run, each end of a task notifies.
#: Two tasks that end at the same moment do not see each other's end.
LAST_TASKS = 8
_MORE = LAST_TASKS + 1
#: An advisory lock, any number that nobody else uses in this database.
#: Without it, two processes that make a function at once would fail.
LOCK = 7_305_140_612
#: A statement that makes or drops a trigger waits for writes to its table, at most this long.
LOCK_TIMEOUT = "1s"

_WAITING = "'up_for_reschedule','deferred'"
_FINAL = f"'success','failed','skipped','up_for_retry','upstream_failed','removed',{_WAITING}"
_UNDER_WAY = "'queued','running','restarting','deferred'"
_UNFINISHED = f"{_UNDER_WAY},'up_for_retry','up_for_reschedule','awaiting_input'"
_BODY = "BEGIN NOTIFY {0}; RETURN NULL; END"
_FUNCTION = f"CREATE OR REPLACE FUNCTION {{0}}() RETURNS trigger AS $$ {_BODY} $$ LANGUAGE plpgsql"
#: Of a hundred independent tasks only the last ones notify, and every task that others wait for.
#: `version` is made of this text: a changed blank makes every trigger anew.
_SAME_RUN = "t.dag_id = NEW.dag_id AND t.run_id = NEW.run_id"
_FEW = f"SELECT 1 FROM task_instance t WHERE {_SAME_RUN}"  # noqa: S608 - constants only
_TASK_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {CHANNEL}_task() RETURNS trigger AS $$ BEGIN
  IF NEW.state IS NULL OR NEW.state NOT IN ('success', 'failed', 'skipped')
    OR EXISTS (SELECT 1 FROM task_instance t
               WHERE {_SAME_RUN} AND (t.state IS NULL OR t.state = 'scheduled'))
    OR EXISTS (SELECT 1 FROM task_instance t WHERE t.state = 'scheduled')
    OR (SELECT count(*) FROM ({_FEW}
                              AND t.state IN ({_UNFINISHED}) LIMIT {_MORE}) few) <= {LAST_TASKS}
  THEN NOTIFY {CHANNEL}; END IF;
  RETURN NULL; END $$ LANGUAGE plpgsql"""  # noqa: S608 - constants only
#: name -> (table, event, condition, function)
_TRIGGERS = {
    "windtunnel_task": (
        "task_instance",
        "AFTER UPDATE OF state",
        # The triggerer writes deferred -> scheduled. The scheduler itself writes each other
        # step to `scheduled`.
        f"NEW.state IS DISTINCT FROM OLD.state AND (NEW.state IN ({_FINAL}) OR NEW.state IS NULL"
        " OR (OLD.state = 'deferred' AND NEW.state = 'scheduled'))",
        f"{CHANNEL}_task",
    ),
    "windtunnel_run": ("dag_run", "AFTER INSERT", "true", CHANNEL),
    "windtunnel_run_again": (
        "dag_run",
        "AFTER UPDATE OF state",
        "NEW.state = 'queued' AND NEW.state IS DISTINCT FROM OLD.state",
        CHANNEL,
    ),
    "windtunnel_asset": ("asset_dag_run_queue", "AFTER INSERT", "true", CHANNEL),
    "windtunnel_dag": (
        "dag",
        "AFTER UPDATE OF next_dagrun_create_after, is_paused, is_stale",
        "(NEW.next_dagrun_create_after, NEW.is_paused, NEW.is_stale)"
        " IS DISTINCT FROM (OLD.next_dagrun_create_after, OLD.is_paused, OLD.is_stale)",
        CHANNEL,
    ),
    "windtunnel_callback": (
        "callback",
        "AFTER INSERT OR UPDATE OF state",
        "NEW.state = 'pending'",
        CHANNEL,
    ),
    "windtunnel_connection": ("connection_test_request", "AFTER INSERT", "true", CHANNEL),
    "windtunnel_callback_file": ("callback", "AFTER INSERT", "true", FILES),
    "windtunnel_parse": ("dag_priority_parsing_request", "AFTER INSERT", "true", FILES),
    "windtunnel_deferred": (
        "trigger",
        "AFTER INSERT OR UPDATE OF triggerer_id",
        "NEW.triggerer_id IS NULL",
        DEFERRED,
    ),
}


def version() -> str:
    """Changes whenever functions or triggers do; it is each trigger's comment."""
    text = repr((_FUNCTION, _TASK_FUNCTION, _TRIGGERS))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def missing_query(*, same_version: bool) -> str:
    """SQL that lists (trigger, table) of each trigger that is absent or disabled.

    With `same_version` it also lists triggers of another version. A table that this Airflow does
    not have needs no trigger; without `task_instance` there is no Airflow.
    """
    wanted = ", ".join(
        f"({number}, '{name}', '{table}')"
        for number, (name, (table, *_)) in enumerate(_TRIGGERS.items())
    )
    version_fits = ""
    if same_version:
        version_fits = f" AND obj_description(t.oid, 'pg_trigger') = '{version()}'"
    return (
        f"SELECT name, tbl FROM (VALUES {wanted}) w(number, name, tbl)"  # noqa: S608 - constants
        " WHERE (to_regclass(tbl) IS NOT NULL OR tbl = 'task_instance')"
        " AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgname = name"
        f" AND t.tgrelid = to_regclass(tbl) AND t.tgenabled <> 'D'{version_fits})"
        # PostgreSQL 18 does not keep the order of VALUES here.
        " ORDER BY number"
    )


def statements(missing: list[tuple[str, str]]) -> list[str]:
    """Statements that make the given triggers. Execute each by itself, as one transaction."""
    if not missing:
        return []
    made = [_FUNCTION.format(channel) for channel in (CHANNEL, FILES, DEFERRED)]
    made.append(_TASK_FUNCTION)
    for name, table in missing:
        _, event, condition, function = _TRIGGERS[name]
        made.append(
            f"CREATE OR REPLACE TRIGGER {name} {event} ON {table}"
            f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {function}();"
            f" COMMENT ON TRIGGER {name} ON {table} IS '{version()}'"
        )
    timeout = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
    first = f"{timeout}; SELECT pg_advisory_xact_lock({LOCK})"
    return [f"{first}; {statement}" for statement in made]


def install(connection: Any) -> list[str]:
    """Creates the functions and the triggers where they are missing, disabled or another version's.

    Args:
        connection: a psycopg2 connection of the owner of Airflow's tables; committed here.

    Returns:
        The names of the triggers that were made.

    Raises:
        psycopg2.Error: the database refused.
    """
    with connection.cursor() as cursor:
        cursor.execute(missing_query(same_version=True))
        missing = cursor.fetchall()
        connection.commit()
        for statement in statements(missing):
            cursor.execute(statement)
            connection.commit()
    return [name for name, _ in missing]


def drop(connection: Any) -> None:
    """Drops our triggers and functions, of any version, since Airflow's migrations change tables.

    Args:
        connection: as `install`; committed here.

    Raises:
        psycopg2.Error: the database refused.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('DROP TRIGGER IF EXISTS %I ON %s', tgname, tgrelid::regclass)"
            " FROM pg_trigger WHERE tgname LIKE 'windtunnel\\_%' AND NOT tgisinternal"
        )
        rows = cursor.fetchall()
        cursor.execute(
            "SELECT format('DROP FUNCTION IF EXISTS %s', oid::regprocedure) FROM pg_proc"
            " WHERE proname LIKE 'windtunnel\\_%' AND prorettype = 'trigger'::regtype"
        )
        rows += cursor.fetchall()
        connection.commit()
        for (statement,) in rows:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {statement}")
            connection.commit()
