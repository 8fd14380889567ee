"""What ruff's rules for Airflow add, and a ruff that is missing, old or hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.check.files import DAG
from windtunnel.check import air_rules
from windtunnel.check.checker import Checker
from windtunnel.check.report import FileReport
from windtunnel.check.target import Target

TEXT = """
from airflow.sdk import dag, task

@dag(schedule=None)
def old():
    @task
    def use():
        from airflow.models import Param
        from airflow.models.param import ParamsDict
        return Param(1), Param(2), ParamsDict({})  # noqa: F401
    use()
old()
"""


@pytest.fixture
def ruff(target: Target) -> str:
    found = air_rules.program(target.python, target.env.get("PATH", ""))
    return found or pytest.skip("there is no ruff")


@pytest.fixture
def target(checker: Checker) -> Target:
    return checker.target


def test_what_only_a_task_uses_is_found_once_for_each_name(tmp_path: Path, ruff: str) -> None:
    (tmp_path / "old.py").write_text(TEXT)
    said = air_rules.find(ruff, [tmp_path / "old.py"])
    messages = [each["message"] for each in said[tmp_path / "old.py"]]
    assert len(messages) == len(set(messages)) >= 1
    (first, *_) = air_rules.findings(said[tmp_path / "old.py"], "old.py", [])
    assert first.severity == "warning" and first.kind == "deprecation"
    assert first.message.startswith("AIR3") and first.place == "old.py:10"


def test_a_line_can_be_left_out(tmp_path: Path, ruff: str) -> None:
    (tmp_path / "old.py").write_text(TEXT.replace("noqa: F401", "noqa: AIR311"))
    assert air_rules.find(ruff, [tmp_path / "old.py"]) == {}


def test_what_airflow_has_warned_of_is_not_said_twice(reports: dict[str, FileReport]) -> None:
    kinds = [each.kind for each in reports["deprecated_import"].findings]
    assert kinds == ["deprecation"]


def test_without_a_ruff_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(DAG)
    assert air_rules.find(None, [tmp_path / "a.py"]) == {}


@pytest.mark.parametrize("line", ["echo no json", "exit 2", "echo '{}'", "echo '[1]'"])
def test_a_ruff_without_these_rules_finds_nothing(tmp_path: Path, line: str) -> None:
    program = tmp_path / "ruff"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    assert air_rules.find(str(program), [tmp_path / "a.py"]) == {}


def test_a_ruff_that_hangs_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(air_rules, "RUFF_SECONDS", 0.5)
    program = tmp_path / "ruff"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    assert air_rules.find(str(program), [tmp_path / "a.py"]) == {}
