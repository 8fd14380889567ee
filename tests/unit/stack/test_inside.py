"""The variables of a shell, or of one of Airflow's commands, beside a stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from windtunnel.project import record
from windtunnel.project.record import Record
from windtunnel.settings import load
from windtunnel.stack import inside


def test_a_project_brings_its_variables_and_its_environment_first_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ".windtunnel"
    state.mkdir()
    home = state / "environments" / "abc" / "bin"
    known = Record(
        root=str(tmp_path),
        python=str(home / "python"),
        variables={"MINE": "project", "TAKEN": "project", "WORKERS": "9"},
        python_path=["/a", "/b"],
    )
    (state / record.NAME).write_text(known.text())
    monkeypatch.setenv("TAKEN", "person")
    monkeypatch.setenv("PATH", f"/usr/bin:{home}:/bin")
    found = inside.variables(load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False))
    assert found["PATH"] == f"{home}:/usr/bin:/bin"
    assert found["VIRTUAL_ENV"] == str(home.parent)
    assert found["PYTHONPATH"] == "/a:/b"
    assert found["MINE"] == "project"
    assert "TAKEN" not in found, "what the person exports counts"
    assert found["WORKERS"] == "1", "what the stack decides counts"


def test_without_a_project_they_are_those_of_the_stack(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    assert inside.variables(settings) == settings.environment()
    assert "PATH" not in inside.variables(settings)
    named = load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False)
    assert inside.variables(named) == named.environment(), "no record yet"
    assert os.environ.get("MINE") is None
