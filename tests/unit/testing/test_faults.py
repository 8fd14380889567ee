"""What `broken` does to a part, and what it waits for at its end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.testing.dead import let_die
from windtunnel.clients import process_compose
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.testing import faults
from windtunnel.testing.journal import Journal


@dataclass
class Cluster:
    """Processes by name, and what was done to them."""

    settings: Settings
    done: list[str] = field(default_factory=list)
    pids: dict[str, int | None] = field(default_factory=lambda: {"valkey": 1, "postgres": 2})
    stop_fails: bool = False
    compose: Any = field(
        default_factory=lambda: SimpleNamespace(
            workers=lambda: [SimpleNamespace(name="worker-0")],
        )
    )

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
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    (tmp_path / "run").mkdir()
    made = Cluster(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))
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


class Compose:
    """process-compose: the broker was stopped, a worker is about to be, the database runs."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.worker = ["Terminating", "Terminating", "Completed"]

    def processes(self) -> list[process_compose.Process]:
        worker = self.worker.pop(0) if len(self.worker) > 1 else self.worker[0]
        states = {"valkey": "Completed", "worker-0": worker, "postgres": "Running"}
        return [process(name, status) for name, status in states.items()]

    def start(self, name: str) -> None:
        self.started.append(name)


def process(name: str, status: str) -> process_compose.Process:
    runs = status in ("Running", "Terminating")
    return process_compose.Process(name, status, runs, "-", 1, 0, 0, 0)


def test_the_parts_that_a_killed_test_has_left_away_are_started_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = Compose()
    monkeypatch.setattr(process_compose, "Compose", lambda _: compose)
    cluster.pids["worker-0"] = 3
    parts = [("broker", None), ("database", None), ("worker", "worker-0")]
    local = cast(LocalCluster, cluster)
    blocks = [faults.broken(local, part, of, "away") for part, of in parts]
    for block in blocks:
        block.__enter__()
    assert faults.bring_back(cluster.settings) is False, "the process of the blocks lives"
    let_die(cluster.settings.run / faults.FOLDER)
    assert faults.bring_back(cluster.settings) is True
    assert compose.started == ["worker-0", "valkey"]
    assert faults.bring_back(cluster.settings) is False


def test_a_part_that_is_back_leaves_no_note(cluster: Cluster) -> None:
    with broken(cluster, Journal(), "broker"):
        assert len(list((cluster.settings.run / faults.FOLDER).iterdir())) == 1
    assert list((cluster.settings.run / faults.FOLDER).iterdir()) == []


def test_the_remote_worker_of_a_killed_test_is_ended_and_the_others_are_started(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = Compose()
    monkeypatch.setattr(process_compose, "Compose", lambda _: compose)
    with subprocess.Popen(["sleep", "600"]) as lab:
        monkeypatch.setattr(cluster, "main_pid", lambda _: lab.pid, raising=False)
        stopping = SimpleNamespace(
            workers=lambda: [process("worker-0", "Running")],
            stop=lambda _: None,
            start=lambda _: None,
        )
        monkeypatch.setattr(cluster, "compose", stopping, raising=False)
        lab_worker = contextlib.nullcontext("worker-lab")
        monkeypatch.setattr(cluster, "lab_worker", lambda: lab_worker, raising=False)
        block = faults.remote_worker(cast(LocalCluster, cluster))
        block.__enter__()
        let_die(cluster.settings.run / faults.FOLDER)
        assert faults.bring_back(cluster.settings) is True
        assert lab.wait(10) == -signal.SIGTERM and compose.started == ["worker-0"]


def test_a_worker_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    block = faults.broken(cast(LocalCluster, cluster), "worker", "work", "")
    text = r"of='work' is no worker: give a task of a run, such as run\['load'\], or worker-0"
    with pytest.raises(UsageError, match=text), block:
        pass
    assert cluster.done == []
