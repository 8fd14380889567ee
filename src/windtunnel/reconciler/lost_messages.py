"""A lost message: its task is queued, no queue holds the message, and no worker does.

The task's queued timestamp is moved back, and the scheduler queues the task again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from windtunnel.brokers.interface import Messages
from windtunnel.reconciler.database import Database
from windtunnel.system.logs import Say


class LostMessages:
    """Two looks in a row must miss a message. A restart forgets the first one."""

    def __init__(
        self,
        broker: Messages,
        database: Database,
        say: Say,
        here: Callable[[], set[str]],
    ) -> None:
        """`here`: Celery ids of the tasks that workers of this machine have written down."""
        self.broker, self.database, self.say, self.here = broker, database, say, here
        self.absent: set[str] = set()

    def reset(self) -> None:
        """Forgets the last look: during an outage everything looks lost."""
        self.absent = set()

    def check(self, queued: dict[str, str]) -> None:
        """One look.

        Args:
            queued: Celery task id -> queue of the queued task instances. It was read before this
                call reads the broker. A task whose message was taken in between is no longer
                queued when `age_queued` asks again.

        Raises:
            psycopg2.Error, one of `Messages.errors`: a part is away.
        """
        absent: set[str] = set()
        if queued:
            absent = self.broker.absent(queued, self.here)
        for task_id in absent & self.absent:
            name = self.database.age_queued(task_id)
            if name:
                text = f"the message of {name} is nowhere: the scheduler is made to queue it again"
                self.say("message_missing", text, level=logging.WARNING, task=task_id)
        self.absent = absent
