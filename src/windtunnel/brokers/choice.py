"""The broker of a stack, or of a URL."""

from __future__ import annotations

from windtunnel.brokers.interface import Broker
from windtunnel.brokers.rabbitmq import RabbitMQ
from windtunnel.brokers.valkey import Valkey
from windtunnel.settings import Settings

KINDS: tuple[Broker, ...] = (Valkey(), RabbitMQ())


def of(settings: Settings) -> Broker:
    """The broker that the stack was started with."""
    return next(kind for kind in KINDS if kind.name == settings.broker)


def of_url(url: str) -> Broker | None:
    """The broker of a Celery URL; None where this project knows none of that kind."""
    scheme = str(url).partition("://")[0]
    return next((kind for kind in KINDS if scheme in kind.schemes), None)
