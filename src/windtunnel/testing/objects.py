"""Variables, connections and pools for the length of a block.

While a block is open, a file has the former object: the stack may be one that a person works with,
and this process may be killed. The next session then brings the object back.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from psycopg2 import sql

from windtunnel.clients import postgres
from windtunnel.clients.airflow import Airflow
from windtunnel.services import state_folder
from windtunnel.settings import Settings
from windtunnel.system import procfs

#: Kind in the API -> table and key. The API hides passwords, so a former object is kept as its row.
TABLES = {
    "variables": ("variable", "key"),
    "connections": ("connection", "conn_id"),
    "pools": ("slot_pool", "pool"),
}
Row = dict[str, Any]
#: In the stack's `run`: one file for each open block.
FOLDER = "replaced"


@contextmanager
def replaced(airflow: Airflow, kind: str, name: str, body: dict[str, Any]) -> Iterator[None]:
    """Store an object; at the end a former one of this name comes back."""
    settings = airflow.settings
    note = _Note(settings, kind, name, _row(settings, kind, name))
    try:
        _take(settings, kind, name)
        airflow.store(kind, body)
        note.write(_row(settings, kind, name))
        yield
    finally:
        _restore(settings, kind, name, note.former)
        note.file.unlink(missing_ok=True)


class _Note:
    """The file of a block. It outlives a process that is killed."""

    def __init__(self, settings: Settings, kind: str, name: str, former: Row) -> None:
        folder = settings.run / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        # In the order of time.
        self.file = folder / f"{time.time_ns():020}-{os.getpid()}.json"
        self.former = former
        own = procfs.read(os.getpid())
        process = {"pid": os.getpid(), "start": own.start if own else 0, "boot": procfs.boot_id()}
        self._facts = {**process, "kind": kind, "name": name, "former": former}
        self.write(None)

    def write(self, ours: Row | None) -> None:
        """Write it, with the row that the block has made once it is known."""
        text = json.dumps({**self._facts, "ours": ours}, default=str)
        state_folder.write_private(self.file, text)


def bring_back(settings: Settings) -> None:
    """Bring back what killed processes have left replaced; of nested blocks the inner one first."""
    folder = settings.run / FOLDER
    if not folder.is_dir():
        return
    with open(settings.run / f"{FOLDER}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file in sorted(folder.glob("*.json"), reverse=True):
            facts = json.loads(file.read_bytes())
            alive = procfs.alive(facts["pid"], facts["start"])
            if alive and facts["boot"] == procfs.boot_id():
                continue
            now = json.loads(json.dumps(_row(settings, facts["kind"], facts["name"]), default=str))
            # Somebody has changed it since: that counts.
            if facts["ours"] in (None, now):
                _restore(settings, facts["kind"], facts["name"], facts["former"])
            file.unlink()


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
