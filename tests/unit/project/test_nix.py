"""A project's packages where windtunnel itself is from Nix."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Make
from windtunnel.errors import UsageError
from windtunnel.project import environment, published, survey, wanted
from windtunnel.project.limits import Limits
from windtunnel.stack import up_project


def test_the_packages_of_a_project_are_refused_with_the_way_out(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "_fetch", lambda *_: "")
    monkeypatch.setattr(sys, "prefix", f"/nix/store/{'0' * 32}-windtunnel-env")
    project = survey.survey(make({"dags/a.py": DAG, "requirements.txt": "emoji\n"}))
    packages = wanted.find(project)
    assert packages is not None
    with pytest.raises(UsageError, match=r"type `WINDTUNNEL_NO_NIX=1 .*/dev windtunnel up`"):
        environment.make(project, packages, Limits("nothing", []), tmp_path, print)
    assert list(tmp_path.glob("environments/*")) == []


def test_a_refused_up_writes_nothing_and_starts_what_needs_no_packages(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def launch(words: list[str]) -> int:
        started.append(words)
        return 0

    monkeypatch.setattr(sys, "prefix", f"/nix/store/{'0' * 32}-windtunnel-env")
    monkeypatch.setattr("windtunnel.stack.launcher.launch", launch)
    for name, variable in (("STATE", "WINDTUNNEL_STATE"), ("DAGS_FOLDER", "DAGS_FOLDER")):
        # As `nix shell` has it in a folder beside the project.
        monkeypatch.setenv(f"WINDTUNNEL_SHELL_{name}", str(tmp_path / name))
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setenv("WINDTUNNEL_PROJECT", "")
    root = make({"dags/a.py": DAG, "requirements.txt": "emoji\n"})
    with pytest.raises(UsageError, match="WINDTUNNEL_NO_NIX=1"):
        up_project.run(root, ["-D"])
    assert sorted(path.name for path in root.iterdir()) == ["dags", "requirements.txt"]
    (root / "requirements.txt").unlink()
    assert up_project.run(root, ["-D"]) == 0
    assert started == [["up", "-D"]]
    assert (root / ".windtunnel" / "project.json").exists(), "not in the folder of the shell"
    assert os.environ["DAGS_FOLDER"] == str(root / "dags")
