"""`windtunnel up` beside a running stack of which connections, variables or pools have changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import WindtunnelError
from windtunnel.health import problems
from windtunnel.project import record, survey
from windtunnel.project.record import Record
from windtunnel.services import migration_gate, project_objects
from windtunnel.settings import Settings, load
from windtunnel.stack import object_changes
from windtunnel.system import procfs

FILE = "airflow_settings.yaml"
ONE = "airflow: {variables: [{variable_name: a, variable_value: b}]}\n"


class Imports:
    """Plays the import: `code` is its end, and `files` has what it was given each time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.code = 0
        self.refused: list[str] = []
        self.files: list[list[str]] = []

    def __call__(self, *_: Any) -> int:
        known = record.read(self.settings.state)
        assert known is not None
        self.files.append(known.objects)
        state = project_objects.read(self.settings)
        project_objects.write(self.settings, state | {"refused": self.refused})
        return self.code


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A running stack without objects, whose database is ready."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "dags").mkdir()
    found = load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False)
    found.run.mkdir(parents=True)
    (found.state / record.NAME).write_text(Record(str(tmp_path), "python").text())
    (found.run / "migrated").write_text(migration_gate.run_of(os.getpid()))
    monkeypatch.setattr(process_compose, "server", lambda _: procfs.read(os.getpid()))
    monkeypatch.setattr(object_changes, "connect", lambda _: Database())
    monkeypatch.setattr(project_objects, "_identity", lambda _: "one")
    return found


class Database:
    def close(self) -> None:
        pass


@pytest.fixture
def imports(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Imports:
    played = Imports(settings)
    monkeypatch.setattr(os, "spawnv", played)
    return played


def bring(settings: Settings) -> bool:
    assert settings.project is not None
    return object_changes.bring(survey.survey(settings.project), settings)


def named(settings: Settings) -> dict[str, str]:
    return {problem.part: problem.do for problem in problems.project_problems(settings)}


def test_a_new_or_changed_file_is_imported_once_and_status_names_it_until_then(
    settings: Settings, imports: Imports, tmp_path: Path
) -> None:
    assert not bring(settings)
    (tmp_path / FILE).write_text(ONE)
    assert bring(settings) and not bring(settings)
    assert named(settings) == {}
    (tmp_path / FILE).write_text(ONE.replace("b}", "c}"))
    assert "the stack runs on" in named(settings)[FILE]
    assert bring(settings) and not bring(settings)
    assert imports.files == [[FILE], [FILE]] and named(settings) == {}
    (tmp_path / FILE).unlink()
    assert not bring(settings) and named(settings) == {}


def test_a_damaged_file_is_named_and_a_failed_import_is_tried_again(
    settings: Settings, imports: Imports, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text(ONE)
    imports.code = 1
    for _ in range(2):
        with pytest.raises(WindtunnelError, match="not everything was imported"):
            bring(settings)
    (tmp_path / FILE).write_text("airflow: [")
    with pytest.raises(WindtunnelError, match=f"{FILE}: is not valid YAML .*: correct it"):
        bring(settings)


def test_an_object_that_cannot_be_used_fails_up_and_stays_in_status_until_its_file_changes(
    settings: Settings, imports: Imports, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text(ONE)
    imports.refused = ["pool odd was not imported: 'many' is no number"]
    with pytest.raises(WindtunnelError, match="not everything was imported"):
        bring(settings)
    assert not bring(settings), "the file is as it was"
    assert "correct its file" in named(settings)[FILE]
    imports.refused = []
    (tmp_path / FILE).write_text(ONE + "\n")
    assert bring(settings) and named(settings) == {}


def test_a_stack_that_comes_up_imports_them_itself(
    settings: Settings, imports: Imports, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text(ONE)
    (settings.run / "migrated").write_text("a former run")
    assert not bring(settings) and imports.files == []
