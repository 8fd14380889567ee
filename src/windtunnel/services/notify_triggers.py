"""Triggers in Airflow's database that NOTIFY whoever waits for work (`wake.Alarm`): made, looked for, taken away.

Each is made in a transaction of its own: no lock is held on two tables at once, so nothing of Airflow's can deadlock with it.
"""

from __future__ import annotations

import hashlib
from typing import Any

CHANNEL = "windtunnel_wake"
#: For the DAG processor: a callback, or a DAG that somebody wants to be read again.
FILES = "windtunnel_files"
#: For the triggerer.
DEFERRED = "windtunnel_deferred"
#: So few unfinished tasks of a run, and each end is told: two that end at the same moment do not see each other's.
LAST_TASKS = 8
#: Any number that nobody else uses as an advisory lock in this database: two that make a function at once would fail.
LOCK = 7_305_140_612
#: Of the transaction's locks; a trigger waits for the writes that are under way on its table.
LOCK_TIMEOUT = "1s"

_FINAL = "'success','failed','skipped','up_for_retry','upstream_failed','removed','up_for_reschedule','deferred'"
_UNFINISHED = "'queued','running','restarting','deferred','up_for_retry','up_for_reschedule','awaiting_input'"
_FUNCTION = "CREATE OR REPLACE FUNCTION {0}() RETURNS trigger AS $$ BEGIN NOTIFY {0}; RETURN NULL; END $$ LANGUAGE plpgsql"
#: Of a hundred independent tasks only the last ones have anything to tell; so has every task that others wait for.
_TASK_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {CHANNEL}_task() RETURNS trigger AS $$ BEGIN
  IF NEW.state IS NULL OR NEW.state NOT IN ('success', 'failed', 'skipped')
    OR EXISTS (SELECT 1 FROM task_instance t
               WHERE t.dag_id = NEW.dag_id AND t.run_id = NEW.run_id AND (t.state IS NULL OR t.state = 'scheduled'))
    OR EXISTS (SELECT 1 FROM task_instance t WHERE t.state = 'scheduled')
    OR (SELECT count(*) FROM (SELECT 1 FROM task_instance t WHERE t.dag_id = NEW.dag_id AND t.run_id = NEW.run_id
                              AND t.state IN ({_UNFINISHED}) LIMIT {LAST_TASKS + 1}) few) <= {LAST_TASKS}
  THEN NOTIFY {CHANNEL}; END IF;
  RETURN NULL; END $$ LANGUAGE plpgsql"""  # noqa: S608 - constants only
#: name -> (table, event, condition, function)
_TRIGGERS = {
    "windtunnel_task": (
        "task_instance",
        "AFTER UPDATE OF state",
        # deferred -> scheduled is written by the triggerer, every other step to `scheduled` by the scheduler itself.
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
    "windtunnel_callback": ("callback", "AFTER INSERT OR UPDATE OF state", "NEW.state = 'pending'", CHANNEL),
    "windtunnel_connection": ("connection_test_request", "AFTER INSERT", "true", CHANNEL),
    "windtunnel_callback_file": ("callback", "AFTER INSERT", "true", FILES),
    "windtunnel_parse": ("dag_priority_parsing_request", "AFTER INSERT", "true", FILES),
    "windtunnel_deferred": ("trigger", "AFTER INSERT OR UPDATE OF triggerer_id", "NEW.triggerer_id IS NULL", DEFERRED),
}


def version() -> str:
    """Changes whenever functions or triggers do; it is each trigger's comment."""
    return hashlib.sha256(repr((_FUNCTION, _TASK_FUNCTION, _TRIGGERS)).encode()).hexdigest()[:32]


def missing_query(*, same_version: bool) -> str:
    """SQL that lists (trigger, table) of those that are absent or disabled; with `same_version` also another version's.

    A table that this Airflow does not have needs no trigger; without `task_instance` there is no Airflow to be heard.
    """
    wanted = ", ".join(f"('{name}', '{table}')" for name, (table, *_) in _TRIGGERS.items())
    version_fits = f" AND obj_description(t.oid, 'pg_trigger') = '{version()}'" if same_version else ""
    return (
        f"SELECT name, tbl FROM (VALUES {wanted}) w(name, tbl)"  # noqa: S608 - constants only
        " WHERE (to_regclass(tbl) IS NOT NULL OR tbl = 'task_instance') AND NOT EXISTS (SELECT 1 FROM pg_trigger t"
        f" WHERE t.tgname = name AND t.tgrelid = to_regclass(tbl) AND t.tgenabled <> 'D'{version_fits})"
    )


def statements(missing: list[tuple[str, str]]) -> list[str]:
    """What makes the given triggers; each is to be executed by itself, as one transaction."""
    if not missing:
        return []
    made = [_FUNCTION.format(channel) for channel in (CHANNEL, FILES, DEFERRED)] + [_TASK_FUNCTION]
    for name, table in missing:
        _, event, condition, function = _TRIGGERS[name]
        made.append(
            f"CREATE OR REPLACE TRIGGER {name} {event} ON {table} FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION {function}(); COMMENT ON TRIGGER {name} ON {table} IS '{version()}'"
        )
    first = f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock({LOCK})"
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
    """Takes away every trigger and function of ours, of whatever version: Airflow's migrations change the tables below.

    Args:
        connection: as `install`; committed here.

    Raises:
        psycopg2.Error: the database refused.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('DROP TRIGGER IF EXISTS %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger"
            " WHERE tgname LIKE 'windtunnel\\_%' AND NOT tgisinternal"
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
