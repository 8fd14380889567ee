"""The hearing end of NOTIFY: scheduler, DAG processor and triggerer sleep until the database tells of work.

The triggers that tell are in `wake_triggers`. Without them, or without the database, a wait is a plain sleep and every round
of a component's loop looks for work, as in stock Airflow.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Any

from windtunnel.services import notify_triggers
from windtunnel.services.notify_triggers import CHANNEL, DEFERRED, FILES

__all__ = ["CHANNEL", "DEFERRED", "FILES", "Alarm", "Ear"]

log = logging.getLogger(__name__)

#: After trouble with its own connection the alarm sleeps plainly for this long.
PAUSE_SECONDS = 5.0
#: To connect, and to answer a question, the database has this long each, or the connection is given up: a half-open one never answers.
ANSWER_SECONDS = 2.0
#: How often the alarm looks whether the triggers are there, and so whether the connection still lives.
CHECK_SECONDS = 30.0
#: libpq's: a connection whose other end is gone is closed after about 10 s (tcp(7); the last one is in milliseconds).
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}

#: Seconds until the next scheduled run; NULL while a run or a callback is under way: retries and time-outs have clocks of their own.
_QUIET = """
SELECT CASE WHEN EXISTS (SELECT 1 FROM dag_run WHERE state IN ('running', 'queued'))
  OR EXISTS (SELECT 1 FROM callback WHERE state IN ('pending', 'queued', 'running')) THEN NULL ELSE coalesce(
  (SELECT extract(epoch FROM min(next_dagrun_create_after) - now()) FROM dag WHERE NOT is_paused AND NOT is_stale), %s) END"""


class Alarm:
    """Hears what is told on a channel; a sleep that NOTIFY ends early.

    Its connection is libpq's asynchronous one: nothing here waits for the database longer than twice ANSWER_SECONDS.

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
        self.not_before = self._check_at = self._deadline = 0.0
        #: How many notifications there were; a new connection counts as one.
        self.told = 0
        self._heard = 0
        self._complaint = ""

    @property
    def hears(self) -> bool:
        """Whether what happens now would be told; otherwise everything is news."""
        return self.connection is not None

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
            self._lost(str(error), PAUSE_SECONDS)
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
            self._deadline = time.monotonic() + ANSWER_SECONDS
            due = self._ask(_QUIET, (most,))[0][0]
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(str(error), PAUSE_SECONDS)
            return 0.0
        return 0.0 if due is None else min(max(0.0, float(due)), most)

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there is a notification that was not heard yet."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self.rung():
                break
            select.select([self.connection], [], [], rest)
        if not self.hears:
            time.sleep(max(0.0, end - time.monotonic()))

    def _lost(self, why: str, pause: float) -> None:
        """One warning for each kind of trouble, until it is over."""
        why = why.strip()
        if why != self._complaint:
            log.warning("%s wake: %s; it looks in every round, as stock Airflow does, and tries again every %.0f s", self.who, why, pause)
        self._complaint = why
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.not_before = time.monotonic() + pause

    def _listening(self) -> bool:
        """Connects where it has to. Raises psycopg2.Error, OSError."""
        import psycopg2

        now = time.monotonic()
        self._deadline = now + ANSWER_SECONDS
        if self.connection is not None:
            return now < self._check_at or self._has_triggers()
        if now < self.not_before:
            return False
        name = f"windtunnel {self.who} wake"
        self.connection = psycopg2.connect(self.url, async_=True, application_name=name, **KEEPALIVE)
        self._answered()
        self._ask(f"LISTEN {self.channel}")
        self.told += 1  # what happened before is not known
        if not self._has_triggers():
            return False
        self._complaint = ""
        return True

    def _has_triggers(self) -> bool:
        """`airflow db reset` and a restored dump leave none: they are made anew where the database lets us.

        Raises psycopg2.Error, OSError.
        """
        import psycopg2

        self._check_at = time.monotonic() + CHECK_SECONDS
        if not (missing := self._ask(notify_triggers.missing_query(same_version=False))):
            return True
        names = ", ".join(name for name, _ in missing)
        try:
            for statement in notify_triggers.statements(missing):
                self._ask(statement)
        except psycopg2.Error as error:
            reason = str(error).strip().partition("\n")[0]
            self._lost(f"triggers are missing ({names}) and cannot be made: {reason}", CHECK_SECONDS)
            return False
        log.warning("%s wake: triggers were missing and have been made anew: %s", self.who, names)
        self.told += 1
        return True

    def _ask(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement. Raises psycopg2.Error, also where there is no answer in time; OSError."""
        cursor = self.connection.cursor()
        cursor.execute(sql, values)
        self._answered()
        return list(cursor.fetchall()) if cursor.description else []

    def _answered(self) -> None:
        """Waits until the connection has nothing more to do, at most until the deadline."""
        import psycopg2
        from psycopg2.extensions import POLL_OK, POLL_READ

        while (state := self.connection.poll()) != POLL_OK:
            if (rest := self._deadline - time.monotonic()) <= 0:
                raise psycopg2.OperationalError(f"the database has not answered for {ANSWER_SECONDS:.0f} s")
            end = [self.connection]
            if state == POLL_READ:
                select.select(end, [], [], rest)
            else:
                select.select([], end, [], rest)


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
        if self.alarm.hears and told == self._heard and now < self._due:
            return False
        self._heard, self._due = told, now + self.seconds
        return True

    def again(self) -> None:
        """The look met a limit: the next one is due at once."""
        self._due = -float("inf")
