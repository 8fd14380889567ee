"""The listening end of NOTIFY: scheduler, DAG processor and triggerer sleep until there is work.

The triggers that notify are in `notify_triggers`. Without them, or without the database, a wait is
a plain sleep. Then every round of a component's loop looks for work, as in stock Airflow. Over 200
lines, because one class has the connection, the waits on it, and its losses.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Any

from windtunnel.services import notify_triggers
from windtunnel.services.notify_triggers import CHANNEL, DEFERRED, FILES

__all__ = ["CHANNEL", "DEFERRED", "FILES", "Listener", "Subscription"]

log = logging.getLogger(__name__)

#: After trouble with its own connection the listener sleeps plainly for this long.
PAUSE_SECONDS = 5.0
#: The database has this long to accept a connection, and as long to answer a question.
#: Then the listener gives the connection up: a half-open one never answers.
ANSWER_SECONDS = 2.0
#: How often the listener checks that the triggers are there, and so that the connection works.
CHECK_SECONDS = 30.0
#: Why no notification would arrive behind PgBouncer or another pooler.
POOLED = "a connection pooler stands before PostgreSQL, and passes no notification on"
#: libpq closes a connection whose other end is gone after about 10 s (tcp(7)).
#: The last value is in milliseconds.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}

#: Seconds until the next scheduled run. NULL while a run or a callback is under way:
#: retries and timeouts have clocks of their own.
_QUIET = """
SELECT CASE WHEN EXISTS (SELECT 1 FROM dag_run WHERE state IN ('running', 'queued'))
  OR EXISTS (SELECT 1 FROM callback WHERE state IN ('pending', 'queued', 'running')) THEN NULL
  ELSE coalesce((SELECT extract(epoch FROM min(next_dagrun_create_after) - now()) FROM dag
                 WHERE NOT is_paused AND NOT is_stale), %s) END"""


class Listener:
    """Listens on a channel, and sleeps until a notification arrives.

    Its connection is libpq's asynchronous one. No method waits for the database longer than
    twice ANSWER_SECONDS.

    Args:
        url: the database, as SQLAlchemy or libpq spells it.
        channel: of NOTIFY.
        who: the component that listens, for logs and `pg_stat_activity`.
    """

    def __init__(self, url: str, channel: str = CHANNEL, who: str = "scheduler") -> None:
        from windtunnel.clients.postgres import without_driver

        self.url = without_driver(url)
        self.channel, self.who = channel, who
        self.connection: Any = None
        self.not_before = self._check_at = self._deadline = 0.0
        #: How many notifications there were; a new connection counts as one.
        self.count = 0
        self._seen = 0
        self._complaint = ""

    @property
    def listening(self) -> bool:
        """Whether a notification would arrive now; otherwise a component has to look."""
        return self.connection is not None

    def notified(self) -> bool:
        """Whether a notification came since the last `acknowledge`.

        True where the listener cannot listen.
        """
        import psycopg2

        try:
            if not self._connected():
                return True
            self.connection.poll()
            self.count += len(self.connection.notifies)
            self.connection.notifies.clear()
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(str(error), PAUSE_SECONDS)
            return True
        return self.count != self._seen

    def acknowledge(self) -> None:
        """The component looks now, so all notifications up to here count as seen."""
        self.notified()
        self._seen = self.count

    def quiet_for(self, most: float) -> float:
        """For how many seconds, at most `most`, nothing is due by the clock.

        0 where a run is under way, or where the database does not answer.
        """
        import psycopg2

        try:
            if not self._connected():
                return 0.0
            self._deadline = time.monotonic() + ANSWER_SECONDS
            [(due,)] = self._ask(_QUIET, (most,))
        except (psycopg2.Error, OSError, ValueError) as error:
            self._lost(str(error), PAUSE_SECONDS)
            return 0.0
        return 0.0 if due is None else min(max(0.0, float(due)), most)

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as there is a new notification."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self.notified():
                break
            select.select([self.connection], [], [], rest)
        if not self.listening:
            time.sleep(max(0.0, end - time.monotonic()))

    def _lost(self, why: str, pause: float) -> None:
        """One warning for each kind of trouble, until it is over."""
        why = why.strip()
        if why != self._complaint:
            without = "it looks in every round, as stock Airflow does"
            text = "%s wake: %s; %s, and tries again every %.0f s"
            log.warning(text, self.who, why, without, pause)
        self._complaint = why
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.not_before = time.monotonic() + pause

    def _connected(self) -> bool:
        """Connects where it has to. Raises psycopg2.Error, OSError."""
        import psycopg2

        from windtunnel.clients.postgres import pooled

        now = time.monotonic()
        self._deadline = now + ANSWER_SECONDS
        if self.connection is not None:
            return now < self._check_at or self._has_triggers()
        if now < self.not_before:
            return False
        self.connection = psycopg2.connect(
            self.url,
            async_=True,
            application_name=f"windtunnel {self.who} wake",
            **KEEPALIVE,
        )
        self._answered()
        [(pid,)] = self._ask("SELECT pg_backend_pid()")
        if pooled(self.connection, pid):
            self._lost(POOLED, CHECK_SECONDS)
            return False
        self._ask(f"LISTEN {self.channel}")
        self.count += 1  # nobody knows what happened before
        if not self._has_triggers():
            return False
        self._complaint = ""
        return True

    def _has_triggers(self) -> bool:
        """Whether the triggers are there. Missing ones are made anew where the database permits it.

        `airflow db reset` and a restored dump leave none.

        Raises psycopg2.Error, OSError.
        """
        import psycopg2

        self._check_at = time.monotonic() + CHECK_SECONDS
        missing = self._ask(notify_triggers.missing_query(same_version=False))
        if not missing:
            return True
        names = ", ".join(name for name, _ in missing)
        try:
            for statement in notify_triggers.statements(missing):
                self._ask(statement)
        except psycopg2.Error as error:
            reason = str(error).strip().partition("\n")[0]
            why = f"triggers are missing ({names}) and cannot be made: {reason}"
            self._lost(why, CHECK_SECONDS)
            return False
        text = "%s wake: triggers were missing and were created again: %s"
        log.warning(text, self.who, names)
        self.count += 1
        return True

    def _ask(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement.

        Raises psycopg2.Error, also where there is no answer in time; OSError.
        """
        cursor = self.connection.cursor()
        cursor.execute(sql, values)
        self._answered()
        return list(cursor.fetchall()) if cursor.description else []

    def _answered(self) -> None:
        """Waits until the connection has nothing more to do, at most until the deadline."""
        import psycopg2
        from psycopg2.extensions import POLL_OK, POLL_READ

        while (state := self.connection.poll()) != POLL_OK:
            rest = self._deadline - time.monotonic()
            if rest <= 0:
                text = f"the database has not answered for {ANSWER_SECONDS:.0f} s"
                raise psycopg2.OperationalError(text)
            end = [self.connection]
            if state == POLL_READ:
                select.select(end, [], [], rest)
            else:
                select.select([], end, [], rest)


class Subscription:
    """One of several loops that share a listener. Each counts the notifications for itself.

    It also looks from time to time without a notification.

    Args:
        listener: where it cannot listen, the loop always looks.
        seconds: the longest time without a look.
    """

    def __init__(
        self,
        listener: Listener,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listener, self.seconds, self.clock = listener, seconds, clock
        self._seen = -1
        self._due = -float("inf")

    def is_due(self) -> bool:
        """Whether to look: a notification came since the last look, or `seconds` are over.

        True counts as a look.
        """
        self.listener.notified()
        now, count = self.clock(), self.listener.count
        if self.listener.listening and count == self._seen and now < self._due:
            return False
        self._seen, self._due = count, now + self.seconds
        return True

    def again(self) -> None:
        """The look met a limit: the next one is due at once."""
        self._due = -float("inf")
