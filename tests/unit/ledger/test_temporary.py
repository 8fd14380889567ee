"""The folder for the pool's shared memory goes away after a kill too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.ledger import temporary
from windtunnel.ledger.ledger import WorkerFiles

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


def test_a_killed_main_process_leaves_nothing(files: WorkerFiles, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    env = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    temporary.remove(files)
    temporary.remove(files)
    assert not list((tmp_path / "tmp").iterdir())


def test_no_other_folder_is_removed(files: WorkerFiles, tmp_path: Path) -> None:
    files.temporary.write_text(str(tmp_path))
    temporary.remove(files)
    assert tmp_path.is_dir()
