"""A reconciler with a real Valkey and a stand-in for the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.servers import running
from tests.unit.reconciler.stand_ins import Rows
from windtunnel.reconciler import reconciler as rounds
from windtunnel.reconciler.reconciler import Reconciler
from windtunnel.settings import Settings, load


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey of the tests' own."""
    with running(tmp_path_factory.mktemp("valkey"), "valkey") as settings:
        yield settings.secret("broker-url")


@pytest.fixture
def broker(valkey: str) -> Iterator[Redis]:
    client = Redis.from_url(valkey)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def settings(tmp_path: Path, valkey: str) -> Settings:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "broker-url").write_text(valkey)
    (tmp_path / "secrets" / "database-url").write_text(
        "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    )
    return load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)


@pytest.fixture
def reconciler(
    settings: Settings, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> tuple[Reconciler, Rows]:
    rows = Rows()
    monkeypatch.setattr(rounds, "Database", lambda url: rows)
    return Reconciler(settings), rows
