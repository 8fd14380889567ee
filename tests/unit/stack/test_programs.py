"""Which interpreter a project's stack is started with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from windtunnel.project import record
from windtunnel.project.record import Record
from windtunnel.stack import programs


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that replaced this process."""
    found: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: found.append([str(program), *words]))
    return found


def test_process_compose_of_a_project_is_that_of_its_own_environment(
    tmp_path: Path, started: list[list[str]]
) -> None:
    (tmp_path / "process-compose").touch()
    programs.change_to(str(tmp_path / "python"), ["up", "-D"])
    assert started == [[str(tmp_path / "process-compose"), "process-compose", "up", "-D"]]


def test_another_program_of_that_environment_can_be_named(
    tmp_path: Path, started: list[list[str]]
) -> None:
    (tmp_path / "windtunnel").touch()
    programs.change_to(str(tmp_path / "python"), ["bench", "--quick"], "windtunnel")
    assert started == [[str(tmp_path / "windtunnel"), "windtunnel", "bench", "--quick"]]


def test_the_environment_that_runs_already_is_not_started_again_under_another_path(
    tmp_path: Path, started: list[list[str]]
) -> None:
    (tmp_path / "link").symlink_to(Path(sys.executable).parent)
    programs.change_to(str(tmp_path / "link" / "python"), ["up"])
    programs.change_to(str(tmp_path / "missing" / "python"), ["up"])
    assert started == []


def test_the_interpreter_of_a_stack_is_the_recorded_one_while_it_is_there(tmp_path: Path) -> None:
    assert record.interpreter(tmp_path) == sys.executable
    (tmp_path / record.NAME).write_text(Record(root="/p", python="/gone/python").text())
    assert record.interpreter(tmp_path) == sys.executable
    (tmp_path / "python").touch()
    written = Record(root="/p", python=str(tmp_path / "python"))
    (tmp_path / record.NAME).write_text(written.text())
    assert record.interpreter(tmp_path) == str(tmp_path / "python")
