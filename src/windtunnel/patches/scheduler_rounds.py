"""Which rounds of the scheduler's loop need to look for work, and how long it may sleep between them."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.services.database_notify import Alarm

#: A look that found nothing is followed by a rest in this proportion to its length.
REST = 2.0
REST_SECONDS = 0.5
#: With an executor that holds plenty for its workers the rest lasts until it has room again, or so long.
FULL_SECONDS = 1.0
#: How often the executor is asked for room meanwhile.
FULL_PACE = 0.1
#: With no run under way and none due the scheduler sleeps so long: as long as from one heartbeat to the next, which a round writes.
QUIET_SECONDS = 5.0


class Rounds:
    """Stock Airflow looks for work in every round, and begins the next at once when the last one did anything.

    Here a round looks only when the database has told of something since the last look, when that one was cut short by a
    limit, or when `idle` seconds have passed, as stock would after its sleep.

    Args:
        alarm: tells of changes; where it hears nothing every round looks.
        idle: `[scheduler] scheduler_idle_sleep_time`, seconds.
    """

    def __init__(self, alarm: Alarm, idle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.alarm, self.idle, self.clock = alarm, idle, clock
        self._began = self._rest_until = -float("inf")
        self._whole = self._full = False

    def look(self, room: bool = True) -> bool:
        """Whether this round has to look for work; `room` says whether the executor could take a fair number of tasks."""
        now = self.clock()
        if now < self._rest_until and not (self._full and room):
            return False
        return not self._whole or now - self._began >= self.idle or self.alarm.rung()

    def begin(self) -> None:
        self._began, self._whole = self.clock(), False
        self.alarm.hear()

    def end(self, *, queued: int, whole: bool, full: bool = False) -> None:
        """After a look: how many tasks it handed out, whether no limit cut it short, and whether the executor holds plenty."""
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
            if may_be_longer and not self.alarm.rung():
                seconds = max(seconds, self.alarm.quiet_for(QUIET_SECONDS))
            self.alarm.wait(seconds)
