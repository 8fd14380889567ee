"""A RabbitMQ of its own for the tests that ask it; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import running
from windtunnel.brokers import rabbitmq_programs
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings


def why_not() -> str:
    """Why this machine cannot run RabbitMQ; empty where it can."""
    try:
        rabbitmq_programs.find()
    except WindtunnelError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Its path has a space, since a person's may have one."""
    if reason := why_not():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("a rabbit") / "state", "rabbitmq") as settings:
        yield settings
