"""The search for DAG files, where a virtual environment lies beside them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from airflow.utils.file import list_py_file_paths

from windtunnel.patches import catalogue
from windtunnel.patches.dag_files import FUNCTION, HOMES
from windtunnel.system.folder_watch import FolderWatch

DAG = "from airflow.sdk import dag\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without a DAG folder: its DAG files lie beside its environment."""
    for name in ("own.py", "inner/own.py", "skipped/no.py", ".venv/lib/python3.11/found.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(DAG)
    (tmp_path / ".venv" / "lib64").symlink_to("lib")
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    (tmp_path / ".airflowignore").write_text("skipped/\n")
    return tmp_path


def test_upstream_still_takes_the_link_in_an_environment_for_a_loop(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="recursive loop"):
        list_py_file_paths(folder, safe_mode=True)


@pytest.mark.parametrize("syntax", ["glob", "regexp"])
def test_the_search_leaves_an_environment_out_and_obeys_airflowignore(
    folder: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX", syntax)
    home = importlib.import_module(HOMES[0])
    # Kept: what the patch replaces comes back after the test.
    monkeypatch.setattr(home, FUNCTION, getattr(home, FUNCTION))
    assert catalogue.environments_hold_no_dags()
    found = {os.path.relpath(path, folder) for path in list_py_file_paths(folder, safe_mode=True)}
    assert found == {"own.py", "inner/own.py"}


def test_it_steps_back_from_another_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module(HOMES[0]), FUNCTION, lambda folder: [])
    assert not catalogue.environments_hold_no_dags()


def test_what_an_environment_or_a_stack_writes_is_no_change_of_the_dag_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windtunnel.system.folder_watch.GRAIN_SECONDS", -1.0)
    (folder / ".windtunnel").mkdir()
    watch = FolderWatch(folder)
    assert watch.changed() and not watch.changed()
    (folder / ".venv" / "lib" / "new.py").touch()
    (folder / ".windtunnel" / "new.log").touch()
    assert not watch.changed()
    (folder / "inner" / "new.py").touch()
    assert watch.changed()
