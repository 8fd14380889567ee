"""A worker's lease on the messages of its tasks.

The worker renews it while it lives, and the reconciler observes it (reconciler/leases.py).

Kombu's Redis transport delivers a message again once it was unacknowledged for
`visibility_timeout`, by the wall clock of any worker (kombu 5.7, transport/redis.py,
`restore_visible`). A task may run for hours and a clock may jump, so that timeout is set beyond any
task here. Instead a worker renews the score of its messages in `unacked_index`. The reconciler puts
a message back whose score has not changed for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from celery import signals
from celery.worker import state

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0


def tags_in_hand() -> set[str]:
    """Delivery tags of all messages whose tasks this worker runs or has reserved."""
    while True:
        try:
            requests = [*state.active_requests, *state.reserved_requests]
            return {request.message.delivery_tag for request in requests}
        except RuntimeError:  # the main thread changed one of the sets meanwhile
            continue


def keep_tasks_in_hand(channel: Any) -> None:
    """Call before a channel is closed: the messages of running tasks stay with this worker.

    Kombu would put all unacknowledged messages back into their queues, even if their tasks run on
    (virtual/base.py, `Channel.close`). And a closed channel cannot acknowledge: it has no
    connection any more.
    """
    qos = getattr(channel, "_qos", None)
    for request in tuple(state.active_requests):
        if qos is not None and request.message.channel is channel:
            qos._delivered.pop(request.message.delivery_tag, None)
            request.message.channel = Closed()


def take_over(channel: Any) -> None:
    """Makes this channel acknowledge the messages of running tasks from now on.

    That works because the broker knows the messages by their tags alone.
    """
    for request in tuple(state.active_requests):
        if isinstance(request.message.channel, Closed):
            request.message.channel = channel


class Closed:
    """The channel of a message while there is no connection.

    Celery logs the exceptions of these methods, and goes on.
    """

    no_ack_consumers = None

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        raise ConnectionResetError("the broker cannot be reached")

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        raise ConnectionResetError("the broker cannot be reached")


class Lease:
    """Renewals by the main loop, and by a thread while the worker drains.

    Celery's main loop has ended when the worker drains.

    Args:
        app: the Celery application. A broker without a sorted set of unacknowledged messages needs
            no renewal.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._due = 0.0
        signals.worker_shutting_down.connect(
            self._drain,
            weak=False,
            dispatch_uid="windtunnel-lease",
        )

    def renew_if_due(self, channel: Any, now: float) -> None:
        """Renews every `RENEW_SECONDS`. Raises the transport's connection errors."""
        if now < self._due:
            return
        self._due = now + RENEW_SECONDS
        qos = getattr(channel, "_qos", None)
        delivered: Iterable[str] = getattr(qos, "_delivered", None) or ()
        renew(channel, {*tags_in_hand(), *delivered})

    def _drain(self, **_: Any) -> None:
        thread = threading.Thread(
            target=self._renew_while_draining,
            name="windtunnel-lease",
            daemon=True,
        )
        thread.start()

    def _renew_while_draining(self) -> None:
        while True:
            try:
                with self.app.connection_for_write() as connection:
                    renew(connection.default_channel, tags_in_hand())
            except Exception as error:
                log.info(
                    "windtunnel: the lease could not be renewed: %s; next attempt in %.0f s",
                    error,
                    RENEW_SECONDS,
                )
            time.sleep(RENEW_SECONDS)


def renew(channel: Any, tags: set[str]) -> None:
    """Sets new scores for messages that are still unacknowledged.

    Raises the transport's connection errors.
    """
    key = getattr(channel, "unacked_index_key", None)
    if key is None or not tags:
        return  # another broker, which redelivers when a connection ends
    now = time.time()
    with channel.conn_or_acquire() as client:
        client.zadd(key, dict.fromkeys(sorted(tags), now), xx=True)
