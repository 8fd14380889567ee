"""The database is migrated for other packages, and given its triggers for another version of this project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel import migrate, wake


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the database, in order; it stands at revision `r1`."""
    done: list[str] = []
    monkeypatch.setattr(migrate, "connect", lambda settings: SimpleNamespace(close=lambda: done.append("closed")))
    monkeypatch.setattr(migrate, "_current_revision", lambda connection: "r1")

    def airflow_db_migrate(*_: Any) -> int:
        done.append("migrated")
        return 0

    monkeypatch.setattr(os, "spawnv", airflow_db_migrate)
    monkeypatch.setattr(wake, "install", lambda connection: done.append("triggers"))
    return done


def run(folder: Path, did: list[str]) -> list[str]:
    did.clear()
    settings: Any = SimpleNamespace(state=folder)
    assert migrate.migrate(settings) is ("migrated" in did)
    assert did.pop() == "closed"
    return list(did)


def test_it_is_done_once(tmp_path: Path, did: list[str]) -> None:
    assert [run(tmp_path, did) for _ in range(2)] == [["migrated", "triggers"], []]


def test_new_triggers_reach_a_database_that_needs_no_migration(tmp_path: Path, did: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, did)
    monkeypatch.setattr(wake, "version", lambda: "another")
    assert [run(tmp_path, did) for _ in range(2)] == [["triggers"], []]


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '{"packages": "old", "revision": "r1"}', '{"packages": "old"'])
def test_a_note_that_says_something_else_leads_to_a_migration(tmp_path: Path, did: list[str], text: str) -> None:
    (tmp_path / "migrated.json").write_text(text)
    assert run(tmp_path, did) == ["migrated", "triggers"]
    assert set(json.loads((tmp_path / "migrated.json").read_text())) == {"packages", "revision", "triggers"}
