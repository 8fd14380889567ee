"""When a project's objects are imported: a changed file, another database, a failure before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from windtunnel.project import record
from windtunnel.project.record import Record
from windtunnel.services import project_objects
from windtunnel.settings import Settings, load


class Import:
    """Plays the import, and notes what was known of the objects when it began."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.fails = False
        self.known: list[dict[str, str]] = []

    def __call__(self, *_: Any) -> int:
        state = project_objects.read(self.settings)
        self.known.append(state["objects"])
        if self.fails:
            return 1
        after = state["objects"] | {f"variables/{len(self.known)}": "digest"}
        project_objects.write(self.settings, state | {"objects": after})
        return 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root = tmp_path / "project"
    (root / ".windtunnel").mkdir(parents=True)
    (root / "variables.json").write_text("{}")
    known = Record(root=str(root), python="", objects=["variables.json"])
    (root / ".windtunnel" / record.NAME).write_text(known.text())
    return load({"WINDTUNNEL_PROJECT": str(root)}, client=False)


@pytest.fixture
def imports(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Import:
    played = Import(settings)
    monkeypatch.setattr(os, "spawnv", played)
    return played


def bring(settings: Settings, monkeypatch: pytest.MonkeyPatch, database: str = "one") -> bool:
    monkeypatch.setattr(project_objects, "_identity", lambda connection: database)
    connection: Any = None
    return project_objects.bring(settings, connection)


def test_they_are_imported_once_for_each_change_of_a_file_and_each_database(
    settings: Settings, imports: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.project is not None
    assert bring(settings, monkeypatch)
    assert bring(settings, monkeypatch), "nothing is left to do"
    assert imports.known == [{}]
    (settings.project / "variables.json").write_text('{"a": 1}')
    bring(settings, monkeypatch)
    assert imports.known[1:] == [{"variables/1": "digest"}]
    bring(settings, monkeypatch, "two")
    assert imports.known[2:] == [{}], "nobody deleted them in the new database"
    assert (settings.state / project_objects.NAME).stat().st_mode & 0o777 == 0o600


def test_a_failed_import_is_tried_again_and_still_knows_what_it_imported_before(
    settings: Settings,
    imports: Import,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert settings.project is not None
    bring(settings, monkeypatch)
    (settings.project / "variables.json").write_text('{"a": 1}')
    imports.fails = True
    bring(settings, monkeypatch)
    assert "the project's objects were not imported" in capsys.readouterr().out
    imports.fails = False
    bring(settings, monkeypatch)
    assert imports.known == [{}, {"variables/1": "digest"}, {"variables/1": "digest"}]


def test_what_a_killed_import_had_begun_is_known_to_the_next_one_in_that_database_only(
    settings: Settings, imports: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports.fails = True
    bring(settings, monkeypatch)
    begun = {"variables/a": "digest"}
    project_objects.write(settings, project_objects.read(settings) | {"begun": begun})
    bring(settings, monkeypatch)
    assert project_objects.read(settings)["begun"] == begun
    bring(settings, monkeypatch, "two")
    assert project_objects.read(settings)["begun"] == {}


def test_a_stack_without_a_project_or_without_objects_imports_nothing(
    settings: Settings, imports: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Record(root=str(settings.project), python="")
    (settings.state / record.NAME).write_text(known.text())
    assert bring(settings, monkeypatch)
    (settings.state / record.NAME).unlink()
    bring(settings, monkeypatch)
    (settings.state / project_objects.NAME).write_text("[")
    bring(settings, monkeypatch)
    assert imports.known == []
