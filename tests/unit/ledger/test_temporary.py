"""The folder for the pool's shared memory goes away after a kill too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.said import Said
from windtunnel.ledger import ledger, temporary
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.reconciler.machine import Machine
from windtunnel.settings import load
from windtunnel.stack.ports import free_offset
from windtunnel.stack.reset import reset
from windtunnel.system import procfs

#: A pool's shared memory as Celery makes it, then an end without any clean-up.
KILLED = f"""
import os, sys
from pathlib import Path
from billiard.sharedctypes import Value
from windtunnel.ledger import temporary
from windtunnel.ledger.ledger import WorkerFiles
temporary.note(WorkerFiles(Path(sys.argv[1]), "worker-0"))
Value("i")
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""


@pytest.fixture
def files(tmp_path: Path) -> WorkerFiles:
    made = WorkerFiles(tmp_path / "run", "worker-0")
    made.create()
    return made


@pytest.fixture
def left(files: WorkerFiles, tmp_path: Path) -> Path:
    """The temporary folder of a machine on which a worker's Celery was killed."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    env = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    return folder


def test_a_killed_main_process_leaves_nothing(files: WorkerFiles, left: Path) -> None:
    temporary.remove(files)
    temporary.remove(files)
    assert not list(left.iterdir())


def test_reset_removes_the_folder_before_the_record_of_its_path(tmp_path: Path, left: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path), "PORT_OFFSET": str(free_offset())})
    assert reset(settings) == [settings.run]
    assert not list(left.iterdir())


def test_the_reconciler_removes_the_folder_of_a_worker_whose_supervisor_died_too(
    files: WorkerFiles, tmp_path: Path, left: Path
) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    gone = {"pid": 999_999_999, "start": 1, "boot": procfs.boot_id()}
    ledger.write(files.supervisor, gone | {"celery_pid": 999_999_998, "celery_start": 1})
    machine = Machine(settings, Said())
    machine.check(0.0)
    assert list(left.iterdir()), "process-compose may start the supervisor again: that comes first"
    machine.check(25.0)
    assert not list(left.iterdir())


def test_no_other_folder_is_removed(files: WorkerFiles, tmp_path: Path) -> None:
    files.temporary.write_text(str(tmp_path))
    temporary.remove(files)
    assert tmp_path.is_dir()
