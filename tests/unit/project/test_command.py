"""`windtunnel project`: a table for people, JSON for scripts, one line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Make

CODE = "from windtunnel.cli import main; main()"


def windtunnel(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, "project", *words],
        env={**os.environ, "WINDTUNNEL_STATE": str(cwd / "no-state")},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_the_table_names_what_was_found_and_what_to_do(make: Make) -> None:
    root = make({"dags/a.py": DAG, "packages.txt": "gcc\n", "a[red]b/dags/b.py": DAG})
    done = windtunnel(cwd=root)
    assert done.returncode == 0 and not done.stderr, done
    for part in ("DAG folders", "dags, a[red]b/dags", "packages.txt", "gcc", "windtunnel up"):
        assert part in done.stdout
    assert not (root / "no-state").exists()


def test_the_json_is_one_object_with_a_version(make: Make, tmp_path: Path) -> None:
    root = make({"dags/a.py": DAG, "requirements.txt": "apache-airflow==3.0.6\n"})
    done = windtunnel("--project", str(root), "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["version"] == 1
    assert found["project"] == str(root) and found["dag_folders"] == ["dags"]
    assert found["airflow"] == {
        "specifier": "==3.0.6",
        "source": "requirements.txt",
        "version": "3.0.6",
    }
    assert set(found["remarks"][0]) == {"path", "fault", "step"}


@pytest.mark.parametrize("kind", ["nothing", "a file", "a loop"])
def test_a_project_that_is_no_folder_is_one_line_and_two(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "a file":
        path.touch()
    if kind == "a loop":
        path.symlink_to(path)
    done = windtunnel("--project", str(path), cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("windtunnel: --project: ") and done.stderr.count("\n") == 1, done


def test_a_folder_without_dags_is_not_said_to_be_ready(tmp_path: Path) -> None:
    assert "starts no stack with it" in windtunnel("--project", str(tmp_path), cwd=tmp_path).stdout
