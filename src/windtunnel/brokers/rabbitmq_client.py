"""Connections to RabbitMQ by AMQP, without Celery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp

from windtunnel.brokers.interface import BrokerAway

#: Reports of lost tasks: `[Celery task id, ledger entry and its worker]` each.
LOST_QUEUE = "windtunnel.lost"
QUORUM = {"x-queue-type": "quorum"}


def connect(url: str, seconds: float) -> Any:
    """A connection whose publishes are confirmed.

    Raises:
        amqp.AMQPError, OSError: there is none.
    """
    parts = urlsplit(url)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port or 5672}",
        userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]) or "/",
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        confirm_publish=True,
        ssl=parts.scheme == "amqps",
    )
    connection.connect()
    return connection


def declare_lost(channel: Any) -> None:
    """The queue of reports; harmless where it exists."""
    channel.queue_declare(LOST_QUEUE, durable=True, auto_delete=False, arguments=QUORUM)


def report(url: str, reports: Mapping[str, str]) -> None:
    """Publishes them; returns when the broker has each. Raises `BrokerAway`."""
    try:
        connection = connect(url, 2)
        try:
            channel = connection.channel()
            declare_lost(channel)
            for task_id, text in reports.items():
                body = json.dumps([task_id, json.loads(text)])
                message = amqp.Message(body, delivery_mode=2, content_type="application/json")
                channel.basic_publish(message, routing_key=LOST_QUEUE)
        finally:
            connection.collect()
    except (amqp.AMQPError, OSError) as error:
        raise BrokerAway(f"RabbitMQ: {error}") from None


def ready(url: str, queues: list[str]) -> dict[str, int]:
    """Waiting messages of each queue now; 0 for one that nobody has used. Raises `BrokerAway`."""
    found = dict.fromkeys(queues, 0)
    try:
        connection = connect(url, 2)
        try:
            channel = connection.channel()
            for name in queues:
                try:
                    found[name] = int(channel.queue_declare(name, passive=True).message_count)
                except amqp.NotFound:
                    channel = connection.channel()  # the error has closed the former one
        finally:
            connection.collect()
    except (amqp.AMQPError, OSError) as error:
        raise BrokerAway(f"RabbitMQ: {error}") from None
    return found


def bodies(url: str, queues: list[str]) -> list[bytes]:
    """The bodies of the waiting messages. Each is put back where it was. Raises `BrokerAway`."""
    found: list[bytes] = []
    try:
        connection = connect(url, 5)
        try:
            for name in queues:
                channel = connection.channel()
                try:
                    while (message := channel.basic_get(name)) is not None:
                        text = message.body
                        found.append(text if isinstance(text, bytes) else text.encode())
                    channel.close()
                except amqp.NotFound:
                    continue  # nobody has used that queue yet
        finally:
            connection.collect()
    except (amqp.AMQPError, OSError) as error:
        raise BrokerAway(f"RabbitMQ: {error}") from None
    return found
