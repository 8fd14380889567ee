"""What the NixOS tests and the hosts lab play on several hosts, played on a process-compose stack first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack_fixture import Stack
from windtunnel.drill.cluster import Checks
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.scenarios import hosts

Rehearse = Callable[..., None]


@pytest.fixture
def rehearse(stack: Stack, tmp_path: Path) -> Iterator[Rehearse]:
    """Plays a scenario with two workers, and fails with every promise that was not kept."""
    cluster = LocalCluster(stack.settings, tmp_path / "marks")
    cluster.scale(2)

    def run(scenario: Callable[..., object], **options: float) -> None:
        checks = Checks()
        scenario(cluster, checks, **options)
        assert checks.made
        assert [f"{check.promised}: {check.seen}" for check in checks.made if not check.ok] == []

    yield run
    assert cluster.heal() == []


def test_every_worker_has_a_share(rehearse: Rehearse) -> None:
    rehearse(hosts.every_worker_has_a_share, seconds=2)


def test_a_worker_that_is_stopped_mid_task(rehearse: Rehearse) -> None:
    rehearse(hosts.worker_stopped_mid_task, seconds=6)


def test_a_worker_that_is_cut_off_and_healed(rehearse: Rehearse) -> None:
    rehearse(hosts.worker_cut_off_and_healed, seconds=15)
