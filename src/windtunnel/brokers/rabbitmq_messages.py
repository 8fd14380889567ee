"""The reconciler's view of RabbitMQ.

RabbitMQ shows numbers of messages and not the messages, and it delivers by itself again what a dead
worker held. So there is nothing to restore or to renew, and a lost message is missed only where the
numbers leave no doubt. Reports of lost tasks are messages of a queue of their own: this process
holds them unacknowledged until their tasks have been given back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import amqp

from windtunnel.brokers import rabbitmq_management
from windtunnel.brokers.interface import Held
from windtunnel.brokers.rabbitmq_client import LOST_QUEUE, connect, declare_lost
from windtunnel.settings import Settings
from windtunnel.system import logs

log = logging.getLogger(__name__)


class RabbitMessages:
    """One connection, made anew after each error."""

    errors: tuple[type[Exception], ...] = (amqp.AMQPError, OSError)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection: Any = None
        #: Celery task id -> report, and the delivery tags of its copies.
        self.reports: dict[str, tuple[dict[str, Any], list[int]]] = {}

    def _drop(self) -> None:
        # RabbitMQ delivers again what was not acknowledged.
        self.connection, self.reports = None, {}

    def _channel(self) -> Any:
        if self.connection is None:
            connection = connect(self.settings.secret("broker-url"), 5)
            declare_lost(connection.channel(1))
            self.connection = connection
        return self.connection.channel(1)

    def lost(self) -> dict[str, dict[str, Any]]:
        try:
            channel = self._channel()
            while (message := channel.basic_get(LOST_QUEUE)) is not None:
                self._take(channel, message)
        except self.errors:
            self._drop()
            raise
        return {task_id: report for task_id, (report, _) in self.reports.items()}

    def _take(self, channel: Any, message: Any) -> None:
        try:
            body = message.body
            task_id, report = json.loads(body.decode() if isinstance(body, bytes) else body)
            report = report if isinstance(report, dict) else {}
            former = self.reports.get(str(task_id), ({}, []))[1]
        except (ValueError, TypeError, AttributeError):
            text = "dropped the report of a lost task that cannot be read"
            log.warning(text, extra=logs.event("report_dropped"))
            channel.basic_ack(message.delivery_tag)
            return
        self.reports[str(task_id)] = (report, [*former, message.delivery_tag])

    def forget(self, task_id: str) -> None:
        _, tags = self.reports.pop(task_id, ({}, []))
        try:
            for tag in tags:
                self._channel().basic_ack(tag)
        except self.errors:
            self._drop()
            raise

    def unacked(self) -> dict[str, Held]:
        return {}

    def absent(self, queued: Mapping[str, str], here: Callable[[], set[str]]) -> set[str]:
        """Certain only while no message waits in the task's queue.

        Every unacknowledged message must also be one that a worker of this machine has written
        down: another one could be the message that is looked for.
        """
        counts = rabbitmq_management.queues(self.settings)
        counts.pop(LOST_QUEUE, None)
        known = here()
        held = [unacknowledged for _, unacknowledged in counts.values()]
        if None in held or sum(number or 0 for number in held) > len(known):
            return set()
        empty = {task_id for task_id, queue in queued.items() if counts.get(queue, (0, 0))[0] == 0}
        return empty - known

    def renewals(self) -> dict[str, float]:
        return {}

    def restore(self, task_id: str, held: Held) -> bool:
        return False

    def discard(self, held: Held) -> None:
        """Nothing: RabbitMQ delivers the message again, and Airflow refuses it."""
