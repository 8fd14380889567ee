"""A project's connections, variables and pools, imported again and again into a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from windtunnel.clients.postgres import connect
from windtunnel.project import record
from windtunnel.project.record import Record
from windtunnel.runtime import project_objects as runtime
from windtunnel.services import project_objects as objects_of_services
from windtunnel.settings import Settings, load

pytestmark = pytest.mark.timeout(120)

#: Makes the tables that Airflow's migration would make, then takes one step after the other.
DRIVER = """
import json, sys
from pathlib import Path
from airflow.models import Connection, Pool, Variable
from airflow.settings import engine
from airflow.utils.db import add_default_pool_if_not_exists
from airflow.utils.session import create_session
from sqlalchemy import text
from windtunnel.runtime import project_objects

base = Connection.metadata
names = [n for n in ("team", "connection", "variable", "slot_pool") if n in base.tables]
base.create_all(engine, tables=[base.tables[n] for n in names])
add_default_pool_if_not_exists()
known, begun = {}, {}
for step in json.load(sys.stdin):
    files = []
    for name, content in step["files"].items():
        Path(name).write_text(content)
        files.append(Path(name).absolute())
    with create_session() as session:
        for statement in step.get("sql", []):
            session.execute(text(statement))
    remembered, noted = known if step.get("remembers", True) else {}, {}
    known, lines = project_objects.import_all(files, remembered, begun, noted.update)
    if step.get("killed"):
        known, begun = remembered, noted  # after the commit, before it had written the digests
    with create_session() as session:
        rows = {f"pool {p.pool}": [p.slots, p.include_deferred] for p in session.query(Pool)}
        rows |= {f"variable {v.key}": [v.val, v.description] for v in session.query(Variable)}
        rows |= {f"connection {c.conn_id}": [c.host, c.password] for c in session.query(Connection)}
    print("STEP " + json.dumps({"lines": lines, "rows": rows}))
"""
SETTINGS = """
airflow:
  connections:
    - {conn_id: shop, conn_type: http, conn_host: HOST, conn_password: secret, conn_extra: {a: 1}}
    - {conn_id: wrong, conn_type: http, conn_port: many}
    - {conn_id: null, conn_type: null}
  variables: [{variable_name: colour, variable_value: COLOUR}]
  pools: [{pool_name: narrow, pool_slot: 1}, {pool_name: odd, pool_slot: many}]
"""
NAME = "airflow_settings.yaml"


def settings_file(host: str, colour: str) -> dict[str, str]:
    return {NAME: SETTINGS.replace("HOST", host).replace("COLOUR", colour)}


def take(settings: Settings, folder: Path, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=folder,
        env={**os.environ, **settings.environment()},
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line[5:] for line in done.stdout.splitlines() if line.startswith("STEP ")]
    assert len(found) == len(steps), done.stderr[-3000:]
    return [json.loads(line) for line in found]


def test_an_import_that_was_killed_after_its_commit_is_no_persons_change(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"files": settings_file("a.example", "blue"), "killed": True},
        {"files": settings_file("b.example", "green")},
    ]
    with servers.running(tmp_path / "state", "postgres") as settings:
        _, second = take(settings, tmp_path, steps)
    assert second["rows"]["connection shop"] == ["b.example", "secret"]
    assert not [line for line in second["lines"] if "in Airflow" in line]


def test_a_file_is_followed_until_a_person_changes_or_deletes_the_object(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"files": settings_file("a.example", "blue")},
        {"files": settings_file("b.example", "green")},
        {
            "sql": ["UPDATE connection SET host = 'mine'", "DELETE FROM variable"],
            "files": settings_file("c.example", "red"),
        },
        # Two files name one connection: the second one wins, and no person is blamed.
        {
            "sql": ["DELETE FROM connection"],
            "remembers": False,
            "files": settings_file("d.example", "red")
            | {
                "connections.json": json.dumps({"shop": {"conn_type": "http", "host": "e.example"}})
            },
        },
        # Files as Airflow's own export writes them.
        {
            "files": {
                "pools.json": json.dumps(
                    {
                        "default_pool": {"slots": 5, "description": "x", "include_deferred": True},
                        "wide": {"slots": 9, "description": "", "include_deferred": True},
                    }
                ),
                "pools.yaml": "tall: {slots: 3}\n",
                "variables.json": json.dumps(
                    {"size": {"value": "9", "description": "of it"}, "n": 5}
                ),
                "connections.yaml": "bad: {nonsense: 1}\n",
            }
        },
    ]
    with servers.running(tmp_path / "state", "postgres") as settings:
        first, second, third, twice, exported = take(settings, tmp_path, steps)
    assert first["rows"]["connection shop"] == ["a.example", "secret"]
    assert first["rows"]["variable colour"] == ["blue", None]
    assert first["rows"]["pool narrow"] == [1, False]
    wrong, odd = first["lines"]
    assert wrong.startswith("connection wrong was not imported: ") and "secret" not in wrong
    assert odd.startswith("pool odd was not imported: invalid literal for int()")

    assert second["rows"]["connection shop"] == ["b.example", "secret"]
    assert second["rows"]["variable colour"] == ["green", None]

    assert third["rows"]["connection shop"] == ["mine", "secret"]
    assert "variable colour" not in third["rows"]
    assert "connection shop was changed in Airflow, and stays so" in third["lines"]
    assert "variable colour was deleted in Airflow, and stays so" in third["lines"]

    assert twice["rows"]["connection shop"] == ["e.example", None]
    assert not [line for line in twice["lines"] if "shop" in line]

    assert exported["rows"]["pool default_pool"] == [5, True]
    assert exported["rows"]["pool wide"] == [9, True]
    assert exported["rows"]["pool tall"] == [3, False]
    assert exported["rows"]["variable size"] == ["9", "of it"]
    assert exported["rows"]["variable n"] == ["5", None]
    (line,) = exported["lines"]
    assert line.startswith("connections.yaml was not imported: The object have illegal keys")


def test_a_database_that_was_reset_is_another_one(tmp_path: Path) -> None:
    with servers.running(tmp_path / "state", "postgres") as settings:
        with (
            contextlib.closing(connect(settings)) as connection,
            servers.connected(settings) as rows,
        ):
            rows.execute("CREATE TABLE alembic_version (version_num text)")
            first = objects_of_services._identity(connection)
            assert first and objects_of_services._identity(connection) == first
            rows.execute("DROP TABLE alembic_version")
            rows.execute("CREATE TABLE alembic_version (version_num text)")
            assert objects_of_services._identity(connection) not in (first, "")


def test_what_was_refused_is_noted_for_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_STATE", str(tmp_path))
    (tmp_path / record.NAME).write_text(Record(str(tmp_path), "python", objects=[NAME]).text())
    lines = ["pool odd was not imported: 'many'", "variable a was changed in Airflow, and stays so"]
    monkeypatch.setattr(runtime, "import_all", lambda *_: ({"pools/narrow": "digest"}, lines))
    monkeypatch.setattr(record, "enter", lambda: None)
    runtime.main()
    assert objects_of_services.refused(load(client=False)) == lines[:1]
