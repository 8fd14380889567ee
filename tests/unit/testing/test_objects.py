"""A former object comes back after its block, also where the block's process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.testing.dead import let_die
from windtunnel.clients.airflow import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.testing import objects

Row = dict[str, Any]


class Database:
    """The rows of all tables, by name; also the API that makes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: dict[str, Row] = {}
        self.refuses = False

    def asked(self, settings: Settings, text: str, kind: str, name: str) -> Row:
        return self.rows.pop(name, {}) if text.startswith("DELETE") else self.rows.get(name, {})

    def insert(self, settings: Settings, kind: str, row: Row) -> None:
        self.rows[row["key"]] = row

    def store(self, kind: str, body: Row) -> None:
        if self.refuses:
            raise WindtunnelError("no")
        self.rows[body["key"]] = body


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    (tmp_path / "run").mkdir()
    made = Database(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))
    monkeypatch.setattr(objects, "_asked", made.asked)
    monkeypatch.setattr(objects, "_insert", made.insert)
    made.rows["colour"] = blue()
    yield made
    assert list(notes(made)) == []


def blue() -> Row:
    return {"key": "colour", "val": "blue"}


def block(database: Database, value: str) -> Any:
    body = {"key": "colour", "val": value}
    return objects.replaced(cast(Airflow, database), "variables", "colour", body)


def notes(database: Database) -> list[Path]:
    return sorted((database.settings.run / objects.FOLDER).glob("*"))


def killed(database: Database) -> None:
    """Let the open blocks be those of a process that has been killed."""
    let_die(database.settings.run / objects.FOLDER)


def test_a_former_object_comes_back_after_its_block(database: Database) -> None:
    with block(database, "red"), block(database, "green"):
        assert database.rows["colour"]["val"] == "green"
    assert database.rows == {"colour": blue()}


def test_a_former_object_comes_back_where_the_api_refuses_the_new_one(database: Database) -> None:
    database.refuses = True
    with pytest.raises(WindtunnelError), block(database, "red"):
        pass
    assert database.rows == {"colour": blue()}


def test_the_next_session_brings_back_what_a_killed_one_had_replaced(database: Database) -> None:
    blocks = [block(database, "red"), block(database, "green")]
    for each in blocks:
        each.__enter__()
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in notes(database))
    objects.bring_back(database.settings)
    assert database.rows["colour"]["val"] == "green", "its process lives"
    killed(database)
    objects.bring_back(database.settings)
    assert database.rows == {"colour": blue()}


def test_an_object_that_a_person_has_changed_since_stays(database: Database) -> None:
    opened = block(database, "red")
    opened.__enter__()
    killed(database)
    database.rows["colour"] = {"key": "colour", "val": "white"}
    objects.bring_back(database.settings)
    assert database.rows["colour"]["val"] == "white"


def test_a_process_that_was_killed_before_the_new_object_was_there_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def store(*_: object) -> None:
            # As if it died here: nothing of the block runs any more.
            patched.setattr(objects, "_restore", lambda *_: None)
            patched.setattr(Path, "unlink", lambda *_, **__: None)
            raise KeyboardInterrupt

        patched.setattr(database, "store", store)
        with block(database, "red"):
            pass
    assert database.rows == {} and len(notes(database)) == 1
    killed(database)
    objects.bring_back(database.settings)
    assert database.rows == {"colour": blue()}
