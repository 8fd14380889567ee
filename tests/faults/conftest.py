"""One private stack for all failures: two slots a worker, and Airflow's `parallelism` raised so that 100 tasks can wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack_fixture import Stack
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome, play
from windtunnel.stack.ports import free_offset

Rehearse = Callable[..., Outcome]


@pytest.fixture(scope="session")
def faults_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    shared = Stack(
        state=tmp_path_factory.mktemp("faults") / "state",
        offset=free_offset(),
        WORKER_CONCURRENCY="2",
        AIRFLOW__CORE__PARALLELISM="256",
    )
    try:
        shared.up()
        yield shared
    finally:
        shared.destroy()


@pytest.fixture
def cluster(faults_stack: Stack, tmp_path: Path) -> Iterator[LocalCluster]:
    """The stack as scenarios see it; whole again afterwards, or the test that broke it fails."""
    made = LocalCluster(faults_stack.settings, tmp_path / "marks")
    yield made
    wrong = made.heal()
    assert wrong == [], f"the stack did not recover: {wrong}"


def rehearse_on(cluster: LocalCluster, name: str, **options: Any) -> Outcome:
    """Plays a scenario by name and fails with every promise that was not kept."""
    outcome = play(SCENARIOS[name], cluster, **options)
    lines = [f"{'kept  ' if c.ok else 'BROKEN'} {c.promised}: {c.seen}" for c in outcome.checks]
    text = f"{name} ({outcome.seconds:.0f} s)\n  " + "\n  ".join(lines)
    print(text)
    if outcome.skipped:
        pytest.skip(f"{name}: {outcome.skipped}")
    assert outcome.ok, text
    return outcome


@pytest.fixture
def rehearse(cluster: LocalCluster) -> Rehearse:
    """`rehearse_on` the stack that all failures share."""

    def run(name: str, **options: Any) -> Outcome:
        return rehearse_on(cluster, name, **options)

    return run
