"""PostgreSQL tells scheduler, DAG processor and triggerer that there is work: triggers that NOTIFY, and the hearing end.

`install` is called by the migration step. Without the triggers, or without the database, a wait is a plain sleep and every
round of a component's loop looks for work, as in stock Airflow.
"""

from __future__ import annotations

import hashlib
import logging
import select
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

CHANNEL = "windtunnel_wake"
#: For the DAG processor: a callback, or a DAG that somebody wants to be read again.
FILES = "windtunnel_files"
#: For the triggerer.
DEFERRED = "windtunnel_deferred"
#: After trouble with its own connection the alarm sleeps plainly for this long.
PAUSE_SECONDS = 5.0
#: So few unfinished tasks of a run, and each end is told: two that end at the same moment do not see each other's.
LAST_TASKS = 8

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
#: Seconds until the next scheduled run; NULL while a run or a callback is under way: retries and time-outs have clocks of their own.
_QUIET = """
SELECT CASE WHEN EXISTS (SELECT 1 FROM dag_run WHERE state IN ('running', 'queued'))
  OR EXISTS (SELECT 1 FROM callback WHERE state IN ('pending', 'queued', 'running')) THEN NULL ELSE coalesce(
  (SELECT extract(epoch FROM min(next_dagrun_create_after) - now()) FROM dag WHERE NOT is_paused AND NOT is_stale), %s) END"""


def version() -> str:
    """Changes whenever functions or triggers do."""
    return hashlib.sha256(repr((_FUNCTION, _TASK_FUNCTION, _TRIGGERS)).encode()).hexdigest()


def install(connection: Any) -> None:
    """Creates the functions and the triggers where they are missing or old.

    Args:
        connection: a psycopg2 connection of the owner of Airflow's tables; committed here.

    Raises:
        psycopg2.Error: the database refused.
    """
    with connection.cursor() as cursor:
        for channel in (CHANNEL, FILES, DEFERRED):
            cursor.execute(_FUNCTION.format(channel))
        cursor.execute(_TASK_FUNCTION)
        for name, (table, event, condition, function) in _TRIGGERS.items():
            cursor.execute("SELECT to_regclass(%s)", (table,))
            if cursor.fetchone()[0] is None:
                continue
            # Replacing needs a short lock on the table: not done where the same one is there already.
            comment = f"{event} {condition} {function}"
            cursor.execute(
                "SELECT obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgname = %s AND tgrelid = to_regclass(%s)",
                (name, table),
            )
            row = cursor.fetchone()
            if row is not None and row[0] == comment:
                continue
            cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            cursor.execute(f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {function}()")
            cursor.execute(f"COMMENT ON TRIGGER {name} ON {table} IS %s", (comment,))
    connection.commit()


class Alarm:
    """Hears what is told on a channel; a sleep that NOTIFY ends early.

    Args:
        url: the database, as SQLAlchemy or libpq spells it.
        channel: of NOTIFY.
        who: listens, for logs and `pg_stat_activity`.
    """

    def __init__(self, url: str, channel: str = CHANNEL, who: str = "scheduler") -> None:
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme.partition('+')[0]}://{rest}"
        self.channel, self.who = channel, who
        self.connection: Any = None
        self.not_before = 0.0
        #: How many notifications there were; a new connection counts as one.
        self.told = 0
        self._heard = 0

    def rung(self) -> bool:
        """Whether there was a notification since `hear` was last called; True where nothing can be heard at all."""
        import psycopg2

        try:
            if not self._listening():
                return True
            self.connection.poll()
            self.told += len(self.connection.notifies)
            self.connection.notifies.clear()
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(error)
            return True
        return self.told != self._heard

    def hear(self) -> None:
        """What was told so far is being looked at."""
        self.rung()
        self._heard = self.told

    def quiet_for(self, most: float) -> float:
        """For how many seconds, at most `most`, nothing is due by the clock; 0 where a run is under way, or nobody knows."""
        import psycopg2

        try:
            if not self._listening():
                return 0.0
            with self.connection.cursor() as cursor:
                cursor.execute(_QUIET, (most,))
                due = cursor.fetchone()[0]
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(error)
            return 0.0
        return 0.0 if due is None else min(max(0.0, float(due)), most)

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there is a notification that was not heard yet."""
        import psycopg2

        end = time.monotonic() + seconds
        try:
            if seconds > 0 and self._listening():
                while not self.rung() and self.connection is not None and (rest := end - time.monotonic()) > 0:
                    select.select([self.connection], [], [], rest)
                if self.connection is not None:
                    return
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(error)
        time.sleep(max(0.0, end - time.monotonic()))

    def _lost(self, error: BaseException) -> None:
        log.warning("%s wake: %s; it looks in every round for %.0f s", self.who, str(error).strip(), PAUSE_SECONDS)
        self.connection = None
        self.not_before = time.monotonic() + PAUSE_SECONDS

    def _listening(self) -> bool:
        import psycopg2

        if self.connection is not None:
            return True
        if time.monotonic() < self.not_before:
            return False
        self.connection = psycopg2.connect(self.url, connect_timeout=2, application_name=f"windtunnel {self.who} wake")
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(f"LISTEN {self.channel}")
        self.told += 1  # what happened before is not known
        return True


class Ear:
    """One of several that listen to one alarm, each for itself; and one that looks now and then although nothing is told.

    Args:
        alarm: where it hears nothing, everything is news.
        seconds: the longest time without a look.
    """

    def __init__(self, alarm: Alarm, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.alarm, self.seconds, self.clock = alarm, seconds, clock
        self._heard = -1
        self._due = -float("inf")

    def news(self) -> bool:
        """Whether to look: something was told since the last look, or it is time. The next answer begins from here."""
        self.alarm.rung()
        now, told = self.clock(), self.alarm.told
        if self.alarm.connection is not None and told == self._heard and now < self._due:
            return False
        self._heard, self._due = told, now + self.seconds
        return True

    def again(self) -> None:
        """The look met a limit: the next one is due at once."""
        self._due = -float("inf")
