"""What `broken` does to a part, and what it waits for at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.errors import WindtunnelError
from windtunnel.testing import faults
from windtunnel.testing.journal import Journal


@dataclass
class Cluster:
    """Processes by name, and what was done to them."""

    settings: None = None
    done: list[str] = field(default_factory=list)
    pids: dict[str, int | None] = field(default_factory=lambda: {"valkey": 1, "postgres": 2})
    stop_fails: bool = False

    def main_pid(self, name: str) -> int | None:
        return self.pids[name]

    def stop(self, name: str) -> None:
        self.pids[name] = None
        self.done.append(f"stop {name}")
        if self.stop_fails:
            raise WindtunnelError("no answer")

    def start(self, name: str) -> None:
        self.pids[name] = 10 + len(self.done)
        self.done.append(f"start {name}")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(faults, "wait_for_workers", lambda _: made.done.append("wait for all"))
    return made


def broken(cluster: Cluster, journal: Journal, part: str) -> Any:
    within = journal.is_within
    block = faults.broken(cast(LocalCluster, cluster), part, None, "", within)
    return journal.noting("away", block)


def test_the_inner_one_of_two_blocks_does_not_wait_for_the_part_of_the_outer_one(
    cluster: Cluster,
) -> None:
    journal = Journal()
    with broken(cluster, journal, "database"):
        with broken(cluster, journal, "broker"):
            pass
        assert cluster.done == ["stop postgres", "stop valkey", "start valkey"]
    assert cluster.done[3:] == ["start postgres", "wait for all"]


def test_a_part_whose_stop_was_interrupted_is_started_again(cluster: Cluster) -> None:
    cluster.stop_fails = True
    with pytest.raises(WindtunnelError), broken(cluster, Journal(), "broker"):
        pass
    assert cluster.done == ["stop valkey", "start valkey", "wait for all"]
