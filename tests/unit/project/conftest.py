"""Projects made of a few files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from windtunnel.project.survey import Project, survey

DAG = "from airflow.sdk import dag\n"
Make = Callable[[dict[str, str]], Path]
Look = Callable[[dict[str, str]], Project]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files below a new folder; a name that ends with a slash is an empty folder."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return root

    return write


@pytest.fixture
def look(make: Make) -> Look:
    """Writes files and looks at their folder."""
    return lambda files: survey(make(files))


def remarks(project: Project) -> str:
    """Every remark as one line."""
    lines = [f"{each.path}: {each.fault}: {each.step}" for each in project.remarks]
    return "\n".join(lines)


def said_to_an_ordinary_user(root: Path) -> list[str]:
    """The remarks of `windtunnel project`, for a user whom permissions bind."""
    code = "from windtunnel.cli import main; main()"
    command = [sys.executable, "-c", code, "project", "--project", str(root), "--json"]
    if os.geteuid() == 0:
        # Root without these capabilities is refused like everybody else.
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [f"{each['path']}: {each['fault']}" for each in json.loads(done.stdout)["remarks"]]
