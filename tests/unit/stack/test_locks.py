"""The locks of a stack's commands, between real processes."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

from windtunnel.services import state_folder
from windtunnel.settings import load
from windtunnel.stack import locks


def test_a_command_that_waited_for_a_reset_locks_the_new_file(tmp_path: Path) -> None:
    variables = {"WINDTUNNEL_STATE": str(tmp_path / "state"), "WINDTUNNEL_ROOT": str(tmp_path)}
    settings = load(variables, client=False)
    state_folder.folders(settings)
    code = (
        "import os\nfrom windtunnel.settings import load\nfrom windtunnel.stack import locks\n"
        "settings = load(client=False)\n"
        "with locks.exclusive(settings, lambda: print('waits', flush=True)) as file:\n"
        "    same = os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))\n"
        "    print('at its path' if same else 'deleted', flush=True)"
    )
    with locks.exclusive(settings, lambda: None):
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None and child.stdout.readline() == "waits\n"
        assert select.select([child.stdout], [], [], 0.5) == ([], [], []), "it did not wait"
        shutil.rmtree(settings.state)
    assert child.stdout.read() == "at its path\n"
    assert child.wait(30) == 0


def test_a_number_that_is_no_lock_of_this_project_is_not_taken_for_one(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)
    state_folder.folders(settings)
    with (tmp_path / "other").open("w") as other:
        locks.keep(other)
        with locks.project(settings) as file:
            assert Path(file.name) == settings.run / "project.lock"
        assert not other.closed
    assert locks.KEPT not in os.environ
