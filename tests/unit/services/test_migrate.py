"""The database is migrated for other packages; its triggers are looked for each time and stand in no migration's way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from windtunnel.services import migrate, notify_triggers


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the database, in order; it stands at revision `r1`."""
    done: list[str] = []
    connection = SimpleNamespace(close=lambda: done.append("closed"), rollback=lambda: None)
    monkeypatch.setattr(migrate, "connect", lambda settings: connection)
    monkeypatch.setattr(migrate, "_current_revision", lambda connection: "r1")

    def airflow_db_migrate(*_: Any) -> int:
        done.append("migrated")
        return 0

    monkeypatch.setattr(os, "spawnv", airflow_db_migrate)
    monkeypatch.setattr(notify_triggers, "install", lambda connection: done.append("triggers"))
    monkeypatch.setattr(notify_triggers, "drop", lambda connection: done.append("no triggers"))
    return done


def run(folder: Path, did: list[str]) -> list[str]:
    did.clear()
    settings: Any = SimpleNamespace(state=folder)
    assert migrate.migrate(settings) is ("migrated" in did)
    assert did.pop() == "closed"
    return list(did)


def test_it_is_done_once_and_the_triggers_are_looked_for_each_time(
    tmp_path: Path, did: list[str]
) -> None:
    assert [run(tmp_path, did) for _ in range(2)] == [
        ["no triggers", "migrated", "triggers"],
        ["triggers"],
    ]


def test_a_database_that_refuses_triggers_costs_one_warning(
    tmp_path: Path,
    did: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(connection: Any) -> None:
        raise psycopg2.errors.InsufficientPrivilege("must be owner of relation dag_run\nmore of it")

    monkeypatch.setattr(notify_triggers, "install", refuse)
    assert run(tmp_path, did) == ["no triggers", "migrated"]
    said = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(said) == 1
    assert "must be owner of relation dag_run)" in said[0]
    assert run(tmp_path, did) == [], "and nothing is migrated again"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "3", '{"packages": "old", "revision": "r1"}', '{"packages": "old"']
)
def test_a_note_that_says_something_else_leads_to_a_migration(
    tmp_path: Path, did: list[str], text: str
) -> None:
    (tmp_path / "migrated.json").write_text(text)
    assert run(tmp_path, did) == ["no triggers", "migrated", "triggers"]
    assert set(json.loads((tmp_path / "migrated.json").read_text())) == {"packages", "revision"}
