"""Variables, connections and pools for the length of a block.

While a block is open, a note has the former object. Where this process is killed, the next session
brings the object back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from psycopg2 import sql

from windtunnel.clients import postgres
from windtunnel.clients.airflow import Airflow
from windtunnel.settings import Settings
from windtunnel.testing import notes

#: Kind in the API -> table and key. The API hides passwords, so a former object is kept as its row.
TABLES = {
    "variables": ("variable", "key"),
    "connections": ("connection", "conn_id"),
    "pools": ("slot_pool", "pool"),
}
Row = dict[str, Any]
#: In the stack's `run`: one note for each open block.
FOLDER = "replaced"


@contextmanager
def replaced(airflow: Airflow, kind: str, name: str, body: dict[str, Any]) -> Iterator[None]:
    """Store an object; at the end a former one of this name comes back."""
    settings = airflow.settings
    former = _row(settings, kind, name)
    facts = {"kind": kind, "name": name, "former": former, "ours": None}
    note = notes.Note(settings.run, FOLDER, facts)
    try:
        _take(settings, kind, name)
        airflow.store(kind, body)
        note.write({"ours": _row(settings, kind, name)})
        yield
    finally:
        _restore(settings, kind, name, former)
        note.remove()


def bring_back(settings: Settings) -> None:
    """Bring back what killed processes have left replaced."""
    for facts in notes.left(settings.run, FOLDER):
        now = json.loads(json.dumps(_row(settings, facts["kind"], facts["name"]), default=str))
        # Somebody has changed it since: that counts.
        if facts["ours"] in (None, now):
            _restore(settings, facts["kind"], facts["name"], facts["former"])


def _restore(settings: Settings, kind: str, name: str, former: Row) -> None:
    _take(settings, kind, name)
    if former:
        _insert(settings, kind, former)


def _take(settings: Settings, kind: str, name: str) -> None:
    _asked(settings, "DELETE FROM {} WHERE {} = %s RETURNING *", kind, name)


def _row(settings: Settings, kind: str, name: str) -> Row:
    """The object's row; empty where there is none."""
    return _asked(settings, "SELECT * FROM {} WHERE {} = %s", kind, name)


def _asked(settings: Settings, text: str, kind: str, name: str) -> Row:
    table, key = (sql.Identifier(each) for each in TABLES[kind])
    statement = sql.SQL(text).format(table, key)
    with closing(postgres.connect(settings)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, (name,))
            found = cursor.fetchone()
            columns = [column.name for column in cursor.description or ()]
    return dict(zip(columns, found, strict=True)) if found else {}


def _insert(settings: Settings, kind: str, row: Row) -> None:
    table, _ = TABLES[kind]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    with closing(postgres.connect(settings)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, list(row.values()))
