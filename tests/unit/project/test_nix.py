"""A project's packages where windtunnel itself is from Nix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.project.conftest import DAG, Make
from windtunnel.errors import UsageError
from windtunnel.project import environment, published, survey, wanted
from windtunnel.project.limits import Limits


def test_the_packages_of_a_project_are_refused_with_the_way_out(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "_fetch", lambda *_: "")
    monkeypatch.setattr(sys, "prefix", f"/nix/store/{'0' * 32}-windtunnel-env")
    project = survey.survey(make({"dags/a.py": DAG, "requirements.txt": "emoji\n"}))
    packages = wanted.find(project)
    assert packages is not None
    with pytest.raises(UsageError, match=r"use `windtunnel\.lib\.dagRepository`"):
        environment.make(project, packages, Limits("nothing", []), tmp_path, print)
    assert list(tmp_path.glob("environments/*")) == []
