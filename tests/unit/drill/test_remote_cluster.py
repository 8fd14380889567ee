"""What a scenario sees of another host's Valkey, by bash alone. The host is this one, Valkey is real."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import redis

from tests import servers
from windtunnel.drill import remote_cluster
from windtunnel.drill.cluster import LocalStack
from windtunnel.settings import Settings


class ThisHost:
    """Runs each command here, without Valkey's own client on PATH."""

    name = "here"

    def execute(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", f"valkey-cli() {{ exit 127; }}; {command}"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.returncode, done.stdout

    def block(self) -> None: ...

    def unblock(self) -> None: ...


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with servers.running(tmp_path_factory.mktemp("remote") / "state", "valkey") as settings:
        yield settings


@pytest.fixture
def cluster(valkey: Settings, monkeypatch: pytest.MonkeyPatch) -> remote_cluster.NixosCluster:
    for name in ("VALKEY", "PING"):
        text = getattr(remote_cluster, name).replace("/6379", f"/{valkey.ports.valkey}")
        monkeypatch.setattr(remote_cluster, name, text)
    monkeypatch.setattr(remote_cluster, "SECRETS", valkey.secrets)
    return remote_cluster.NixosCluster({"valkey": ThisHost(), "api-server": ThisHost()})


def test_a_valkey_that_asks_for_a_password_is_up(cluster: remote_cluster.NixosCluster) -> None:
    assert cluster.up("valkey")


def test_a_valkey_that_is_away_is_not_up(
    cluster: remote_cluster.NixosCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        remote_cluster, "PING", remote_cluster.PING.replace("127.0.0.1", "127.0.0.2")
    )
    assert not cluster.up("valkey")


def test_the_lengths_of_the_queues_are_read_with_the_password(
    cluster: remote_cluster.NixosCluster, valkey: Settings
) -> None:
    with redis.Redis(port=valkey.ports.valkey, password=valkey.secret("valkey-password")) as client:
        client.rpush("default", *range(3))
        client.hset("unacked", "tag", "message")
    assert cluster.messages() == {"default": 3, "heavy": 0, "unacked": 1}


def test_it_has_every_value_that_a_scenario_reads() -> None:
    """A scenario is given it as a `LocalStack`, of which it has only a part: no checker looks."""
    made = remote_cluster.NixosCluster({"api-server": ThisHost()})
    assert [name for name in LocalStack.__annotations__ if not hasattr(made, name)] == []
