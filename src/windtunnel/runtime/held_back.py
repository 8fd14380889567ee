"""What a worker does with a message of RabbitMQ that it cannot start now.

RabbitMQ limits the unacknowledged messages of a consumer, and a worker's limit is its task slots.
The limit does not know of tasks that run on from before a lost connection, and it counts each queue
of a worker for itself. So a worker may get a message while all its slots are taken. Celery would
keep such a message until one of its own tasks ends, however idle other workers are. Here the
message is offered again after a moment, and the next free worker gets it.

And after a lost connection RabbitMQ delivers again what it takes for lost. If the same worker still
runs that very task, the task takes over the new message, to acknowledge it at its end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.utils.log import get_logger
from celery.worker import state

log = get_logger(__name__)

#: A message waits this long for a slot of this worker before it is offered to all.
GIVE_BACK_SECONDS = 1.0
#: How often a waiting message is looked at.
LOOK_SECONDS = 0.25

Handle = Callable[[Any], Any]


class HeldBack:
    """Messages of one worker's connection that wait for a slot.

    Args:
        slots: how many tasks the worker may run at once.
    """

    def __init__(self, slots: Callable[[], int]) -> None:
        self.slots = slots
        self.waiting: deque[tuple[float, Any]] = deque()
        self.handle: Handle | None = None

    def wrap(self, handle: Handle) -> Handle:
        """A handler of messages before Celery's own."""
        self.handle = handle

        def received(message: Any) -> Any:
            if self._take_over(message):
                return None
            if self.waiting or self._full():
                self.waiting.append((time.monotonic(), message))
                return None
            return handle(message)

        return received

    def look(self) -> None:
        """Starts what now has a slot, and gives back what has waited too long."""
        now = time.monotonic()
        while self.waiting:
            since, message = self.waiting[0]
            if self.handle and not self._full():
                self.waiting.popleft()
                self.handle(message)
            elif now - since >= GIVE_BACK_SECONDS:
                self.waiting.popleft()
                message.reject(requeue=True)
            else:
                return

    def give_back(self) -> None:
        """All of them: this worker takes no more."""
        while self.waiting:
            _, message = self.waiting.popleft()
            with contextlib.suppress(Exception):
                message.reject(requeue=True)

    def forget(self) -> None:
        """Their connection is lost; RabbitMQ delivers them again."""
        self.waiting.clear()

    def _full(self) -> bool:
        held = {request.id for request in (*state.active_requests, *state.reserved_requests)}
        return len(held) >= self.slots()

    @staticmethod
    def _take_over(message: Any) -> bool:
        """Whether this worker runs the message's task already; its own message is then this one."""
        task_id = message.headers.get("id")
        for request in tuple(state.active_requests):
            if request.id == task_id and not request.acknowledged:
                # `ack` looks at these two when the task ends (kombu.message.Message).
                request.message.channel = message.channel
                request.message.delivery_tag = message.delivery_tag
                log.info("windtunnel: the message of the running task %s is here again", task_id)
                return True
        return False


class Heartbeats:
    """Heartbeats of the connection while a worker drains, when Celery's main loop has ended.

    Without them RabbitMQ would take the worker for gone, and deliver its messages again.
    """

    def __init__(self, connection: Callable[[], Any]) -> None:
        self.connection = connection
        signals.worker_shutting_down.connect(
            self._drain,
            weak=False,
            dispatch_uid="windtunnel-heartbeats",
        )

    def _drain(self, **_: Any) -> None:
        name = "windtunnel-heartbeats"
        threading.Thread(target=self._beat, name=name, daemon=True).start()

    def _beat(self) -> None:
        while True:
            raw = getattr(self.connection(), "_connection", None)
            seconds = float(getattr(raw, "heartbeat", 0) or 0)
            if seconds and raw is not None:
                with contextlib.suppress(Exception):
                    raw.send_heartbeat()
            time.sleep(max(1.0, seconds / 3))
