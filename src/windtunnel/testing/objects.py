"""Variables, connections and pools for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from psycopg2 import sql

from windtunnel.clients import postgres
from windtunnel.clients.airflow import Airflow
from windtunnel.settings import Settings

#: Kind in the API -> table and key. The API hides passwords, so a former object is kept as its row.
TABLES = {
    "variables": ("variable", "key"),
    "connections": ("connection", "conn_id"),
    "pools": ("slot_pool", "pool"),
}
Row = dict[str, Any]


@contextmanager
def replaced(airflow: Airflow, kind: str, name: str, body: dict[str, Any]) -> Iterator[None]:
    """Store an object; at the end a former one of this name comes back."""
    settings = airflow.settings
    former = _taken(settings, kind, name)
    try:
        airflow.store(kind, body)
        yield
    finally:
        _taken(settings, kind, name)
        if former:
            _insert(settings, kind, former)


def _taken(settings: Settings, kind: str, name: str) -> Row:
    """Delete an object's row, and return it; empty where there is none."""
    table, key = (sql.Identifier(each) for each in TABLES[kind])
    statement = sql.SQL("DELETE FROM {} WHERE {} = %s RETURNING *").format(table, key)
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
