"""Decides which rounds of the scheduler's loop look for work, and how long the loop sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.services.database_notify import Listener

#: A look that found nothing is followed by a rest in this proportion to its length.
REST = 2.0
REST_SECONDS = 0.5
#: With an executor that holds plenty for its workers the rest lasts until it has room, or this
#: long.
FULL_SECONDS = 1.0
#: How often the executor is asked for room meanwhile.
FULL_PACE = 0.1
#: With no run under way and none due the scheduler sleeps this long.
#: It is the interval between two heartbeats, and a round writes the heartbeat.
QUIET_SECONDS = 5.0


class Rounds:
    """Leaves out the rounds that would find nothing.

    Stock Airflow looks for work in every round, and begins the next one at once when the last one
    did anything. Here a round looks in three cases only:

    - the database has sent a notification since the last look;
    - a limit cut the last look short;
    - `idle` seconds have passed, as stock would look after its sleep.

    Args:
        listener: receives the notifications; where it cannot listen every round looks.
        idle: `[scheduler] scheduler_idle_sleep_time`, seconds.
    """

    def __init__(
        self,
        listener: Listener,
        idle: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listener, self.idle, self.clock = listener, idle, clock
        self._began = self._rest_until = -float("inf")
        self._whole = self._full = False

    def look(self, room: bool = True) -> bool:
        """Whether this round has to look for work.

        Args:
            room: whether the executor could take a fair number of tasks.
        """
        now = self.clock()
        if now < self._rest_until and not (self._full and room):
            return False
        return not self._whole or now - self._began >= self.idle or self.listener.notified()

    def begin(self) -> None:
        self._began, self._whole = self.clock(), False
        self.listener.acknowledge()

    def end(self, *, queued: int, whole: bool, full: bool = False) -> None:
        """After a look.

        Args:
            queued: how many tasks it queued.
            whole: whether no limit cut it short.
            full: whether the executor holds plenty.
        """
        self._whole, self._full = whole, full
        now = self.clock()
        if full:
            self._rest_until = now + FULL_SECONDS
        elif whole and not queued:
            self._rest_until = now + min(REST * (now - self._began), REST_SECONDS)

    def sleep(self, seconds: float) -> None:
        """In place of the scheduler's sleep."""
        # A shorter sleep than `idle` means that one of the loop's timers is due.
        may_be_longer = seconds >= self.idle
        rest = self._rest_until - self.clock()
        if rest > 0 and self._full:
            time.sleep(min(rest, seconds, FULL_PACE))
            return
        if rest > 0:
            time.sleep(min(rest, seconds))
            seconds -= rest
        if seconds > 0:
            if may_be_longer and not self.listener.notified():
                seconds = max(seconds, self.listener.quiet_for(QUIET_SECONDS))
            self.listener.wait(seconds)
