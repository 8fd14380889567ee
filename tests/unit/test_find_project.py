"""The project that a command means: named, or the nearest one upwards that had a stack."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from windtunnel.errors import UsageError
from windtunnel.settings import PROJECT_STATE, find_project, find_root, load


def project(folder: Path) -> Path:
    (folder / PROJECT_STATE).mkdir(parents=True)
    return folder


def checkout(folder: Path) -> Path:
    for name in ("process-compose.yaml", "airflow-home/airflow.cfg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_nearest_one_upwards_counts(tmp_path: Path) -> None:
    outer = project(tmp_path / "outer")
    inner = project(outer / "inner")
    (inner / "dags" / "deep").mkdir(parents=True)
    (outer / "other").mkdir()
    assert find_project({}, inner / "dags" / "deep") == inner
    assert find_project({}, outer / "other") == outer
    assert find_project({}, tmp_path) is None
    (outer / "other" / PROJECT_STATE).touch()
    assert find_project({}, outer / "other") == outer, "a file is no state folder"


def test_a_checkout_of_windtunnel_ends_the_search_and_may_hold_a_project(tmp_path: Path) -> None:
    project(tmp_path)
    root = checkout(tmp_path / "windtunnel")
    (root / "docs").mkdir()
    assert find_project({}, root / "docs") is None
    inner = project(root / "mine")
    assert find_project({}, inner) == inner


def test_a_named_project_counts_before_all_and_a_named_state_folder_alone(tmp_path: Path) -> None:
    here = project(tmp_path / "here")
    there = tmp_path / "there"
    assert find_project({"WINDTUNNEL_PROJECT": str(there)}, here) == there
    assert find_project({"WINDTUNNEL_STATE": str(tmp_path / "state")}, here) is None
    both = {"WINDTUNNEL_STATE": str(tmp_path / "state"), "WINDTUNNEL_PROJECT": str(there)}
    settings = load(both, client=False)
    assert (settings.project, settings.state) == (there, tmp_path / "state")
    assert settings.dags == there / "dags"


def test_the_default_that_a_shell_derived_names_no_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project(tmp_path / "here")
    default = str(tmp_path / "checkout" / ".state")
    shell = {"WINDTUNNEL_STATE": default, "WINDTUNNEL_SHELL_STATE": default}
    monkeypatch.chdir(here)
    found = load(shell)
    assert (found.project, found.state) == (here, here / PROJECT_STATE)
    monkeypatch.chdir(tmp_path)
    assert (load(shell).project, str(load(shell).state)) == (None, default)
    monkeypatch.chdir(here)
    other = shell | {"WINDTUNNEL_STATE": str(tmp_path / "other")}
    assert load(other).state == tmp_path / "other", "a person's choice in such a shell"


def test_a_folder_is_found_through_a_symlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project(tmp_path / "here")
    (here / "dags").mkdir()
    (tmp_path / "link").symlink_to(here / "dags")
    monkeypatch.chdir(tmp_path / "link")
    assert find_project({}) == here


def test_the_state_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project(tmp_path / "here")
    owner = os.geteuid()
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    if owner == 0:
        assert find_project({}, here) == here, "root is trusted"
        os.chown(here / PROJECT_STATE, 4712, 4712)
    with pytest.raises(UsageError, match=r"belongs to another user: .* set WINDTUNNEL_PROJECT="):
        find_project({}, here)
    assert find_project({"WINDTUNNEL_PROJECT": str(here)}, here) == here
    # Root by sudo trusts the user who asked for it.
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str((here / PROJECT_STATE).stat().st_uid))
    assert find_project({}, here) == here


def test_a_state_folder_names_its_project_also_after_the_stack_has_ended(tmp_path: Path) -> None:
    record = {"version": 1, "port_offset": 0, "WINDTUNNEL_PROJECT": str(tmp_path / "project")}
    (tmp_path / "stack.json").write_text(json.dumps(record))
    named = {"WINDTUNNEL_STATE": str(tmp_path)}
    assert load(named).project == tmp_path / "project"
    assert load(named, client=False).project is None, "`up` goes by the folder that it is called in"
    record["WINDTUNNEL_PROJECT"] = 1
    (tmp_path / "stack.json").write_text(json.dumps(record))
    assert load(named).project is None


@pytest.mark.parametrize("foreign", ["", "process-compose.yaml", "airflow-home/airflow.cfg"])
def test_the_checkout_of_another_user_is_refused_unless_named(
    foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone may put one into /tmp, and its commands would be run."""
    (tmp_path / "mine").mkdir()
    root = checkout(tmp_path)
    assert find_root({}, tmp_path / "mine") == root
    owner = os.geteuid()
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    if owner == 0:
        os.chown(root / foreign, 4712, 4712)
    with pytest.raises(UsageError, match=r"belongs to another user: .* set WINDTUNNEL_ROOT="):
        find_root({}, tmp_path / "mine")
    assert find_root({"WINDTUNNEL_ROOT": str(root)}, tmp_path / "mine") == root
