"""Which other worker of the machine can take a worker's tasks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import READY_SECONDS, WorkerFiles
from windtunnel.system import procfs
from windtunnel.worker.options import Options


@pytest.fixture
def other(tmp_path: Path) -> WorkerFiles:
    """A healthy worker; this test is its supervisor."""
    me = procfs.read(os.getpid())
    assert me is not None
    files = WorkerFiles(tmp_path / "run", "worker-1")
    files.create()
    record = {"pid": me.pid, "start": me.start, "queues": ["default", "heavy"]}
    ledger.write(files.supervisor, record)
    files.ready.touch()
    return files


def stand_in(tmp_path: Path, queues: str = "default") -> str | None:
    words = ["--name", "worker-0", "--queues", queues]
    return Options.parse(words, {"WINDTUNNEL_STATE": str(tmp_path)}).stand_in()


def test_a_healthy_worker_of_one_of_its_queues_can_take_its_tasks(
    tmp_path: Path, other: WorkerFiles
) -> None:
    assert stand_in(tmp_path) == stand_in(tmp_path, "heavy,light") == "worker-1"
    assert stand_in(tmp_path, "light") is None


def test_a_worker_whose_ready_is_old_or_gone_cannot(tmp_path: Path, other: WorkerFiles) -> None:
    moment = time.time() - READY_SECONDS - 1
    os.utime(other.ready, (moment, moment))
    assert stand_in(tmp_path) is None
    other.ready.unlink()
    assert stand_in(tmp_path) is None


def test_the_ready_that_a_killed_supervisor_left_behind_does_not_count(
    tmp_path: Path, other: WorkerFiles
) -> None:
    record = ledger.read(other.supervisor)
    ledger.write(other.supervisor, record | {"start": record["start"] + 1})
    assert other.is_ready(time.time()) and stand_in(tmp_path) is None
