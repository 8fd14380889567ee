"""RabbitMQ, as the rest of windtunnel asks for it (interface.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from windtunnel.brokers import rabbitmq_conf, rabbitmq_programs
from windtunnel.brokers.interface import BrokerAway, Depths, File, Messages, Page
from windtunnel.settings import Ports, Settings

#: After half of it without a frame each side sends one; after twice, the other side is gone.
HEARTBEAT_SECONDS = 8
#: An answer takes milliseconds. Without a limit a worker that is cut off could not end.
SOCKET_SECONDS = 5
#: Celery's settings that are not for every broker; docs/guides/rabbitmq.md explains them.
CELERY: dict[str, Any] = {
    # Queues that survive the loss of a node, and `kill -9`.
    "task_default_queue_type": "quorum",
    "task_create_missing_queue_type": "quorum",
    # Per consumer, as quorum queues want it.
    "worker_detect_quorum_queues": True,
    # After `consumer_timeout`, and while an exclusive queue is still locked by a dead connection.
    "broker_channel_error_retry": True,
    # Celery 5.6.3 would reduce it at a reconnect for good (celery#10253). Ours counts itself.
    "worker_enable_prefetch_count_reduction": False,
    # Ignored with RabbitMQ, and said in a warning.
    "worker_disable_prefetch": False,
    # RabbitMQ 4.3 refuses queues that are neither durable nor exclusive (celery#10287).
    "control_queue_exclusive": True,
    "event_queue_exclusive": True,
    "broker_heartbeat": HEARTBEAT_SECONDS,
}
#: Of [celery_broker_transport_options], for Redis alone.
REDIS_ONLY = (
    "visibility_timeout",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "health_check_interval",
)


class RabbitMQ:
    name = "rabbitmq"
    title = "RabbitMQ"
    schemes: tuple[str, ...] = ("amqp", "amqps", "pyamqp")
    secrets: tuple[str, ...] = (rabbitmq_conf.PASSWORD, rabbitmq_conf.ADMIN_PASSWORD)
    pushes = True
    confirms = True
    port_variable = "WINDTUNNEL_AMQP_PORT"

    def port(self, ports: Ports) -> int:
        return ports.amqp

    def url(self, password: str, address: str) -> str:
        return f"amqp://{rabbitmq_conf.USER}:{password}@{address}/{rabbitmq_conf.VHOST}"

    def require(self, settings: Settings) -> None:
        rabbitmq_programs.find()

    def files(self, settings: Settings) -> Iterable[File]:
        return rabbitmq_conf.files(settings)

    def pages(self, settings: Settings) -> list[Page]:
        url = f"http://127.0.0.1:{settings.ports.rabbitmq_management}"
        return [Page("rabbitmq", url, settings.secrets / rabbitmq_conf.ADMIN_PASSWORD)]

    def fault(self, settings: Settings) -> str | None:
        from windtunnel.brokers import rabbitmq_management

        if not self.answers(settings.secret("broker-url"), 2):
            return "does not answer"
        try:
            rabbitmq_management.clock(settings)
        except BrokerAway as error:
            return f"does not answer ({error})"
        return None

    def depths(self, settings: Settings, always: Iterable[str] = ()) -> Depths:
        from windtunnel.brokers import rabbitmq_client, rabbitmq_management

        counts = rabbitmq_management.queues(settings)
        counts.pop(rabbitmq_client.LOST_QUEUE, None)
        names = sorted({*counts, *always})
        # Management's numbers are seconds old. The queues themselves know better.
        waiting = rabbitmq_client.ready(settings.secret("broker-url"), names)
        return Depths(waiting, sum(unacknowledged or 0 for _, unacknowledged in counts.values()))

    def bodies(self, settings: Settings, queues: Iterable[str]) -> list[bytes]:
        from windtunnel.brokers import rabbitmq_client

        return rabbitmq_client.bodies(settings.secret("broker-url"), [*queues])

    def clock(self, settings: Settings) -> float:
        from windtunnel.brokers import rabbitmq_management

        return rabbitmq_management.clock(settings)

    def report_lost(self, url: str, reports: Mapping[str, str]) -> None:
        from windtunnel.brokers import rabbitmq_client

        rabbitmq_client.report(url, reports)

    def messages(self, settings: Settings) -> Messages:
        from windtunnel.brokers.rabbitmq_messages import RabbitMessages

        return RabbitMessages(settings)

    def celery(self, config: dict[str, Any]) -> None:
        config.update(CELERY)
        options = config["broker_transport_options"]
        for name in REDIS_ONLY:
            options.pop(name, None)
        # A publish ends when the broker has the message on disk. Without it one that the broker
        # refuses would be lost silently.
        options.setdefault("confirm_publish", True)
        options.setdefault("read_timeout", SOCKET_SECONDS)
        options.setdefault("write_timeout", SOCKET_SECONDS)

    def flower(self, broker_url: str) -> dict[str, str]:
        # The management API lies 10,000 ports above AMQP: so do the defaults and every offset.
        parts = urlsplit(broker_url)
        login, port = f"{parts.username}:{parts.password}", (parts.port or 5672) + 10_000
        return {"broker-api": f"http://{login}@{parts.hostname}:{port}/api/"}

    def answers(self, url: str, seconds: float) -> bool:
        """One connection. The listener opens when everything else is ready."""
        parts = urlsplit(url)
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 5672), seconds):
                return True
        except OSError:
            return False
