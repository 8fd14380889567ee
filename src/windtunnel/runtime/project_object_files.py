"""Reads a project's files of connections, variables and pools, by Airflow's own parsers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from windtunnel.project.airflow_files import ASTRONOMER, KINDS

#: Airflow's name of a connection's field for each of Astronomer's.
FIELDS = {
    "conn_type": "conn_type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
    "conn_extra": "extra",
    "conn_uri": "uri",
}


def read(file: Path) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """(kind, name, maker) of each object in a file, by Airflow's own parsers."""
    from airflow.secrets.local_filesystem import load_connections_dict, load_variables

    if file.name == ASTRONOMER:
        yield from _astronomer(yaml.safe_load(file.read_text()) or {})
        return
    kind = next(kind for kind in KINDS if file.name.startswith(kind))
    if kind == "connections":
        for name, connection in load_connections_dict(str(file)).items():
            yield kind, name, partial(_itself, connection)
    elif kind == "variables":
        for name, value in load_variables(str(file)).items():
            # Airflow's own export writes a variable with a description like this.
            described = value if isinstance(value, dict) and "value" in value else {"value": value}
            description = described.get("description")
            yield kind, name, partial(_variable, name, described["value"], description)
    else:
        text = file.read_text()
        table = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
        for name, fields in table.items():
            yield kind, name, partial(_pool, name, **fields)


def _astronomer(data: dict[str, Any]) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The objects in the file of Astronomer's command line; entries without a name are none."""
    airflow = data.get("airflow") or {}
    for row in airflow.get("connections") or []:
        if name := row.get("conn_id"):
            yield "connections", name, partial(_connection, row)
    for row in airflow.get("variables") or []:
        if name := row.get("variable_name"):
            yield "variables", name, partial(_variable, name, row.get("variable_value"))
    for row in airflow.get("pools") or []:
        if name := row.get("pool_name"):
            fields = (row.get("pool_slot"), row.get("pool_description"))
            yield "pools", name, partial(_pool, name, *fields)


def _itself(made: Any) -> Any:
    return made


def _connection(row: dict[str, Any]) -> Any:
    from airflow.models import Connection

    fields = {ours: row[theirs] for theirs, ours in FIELDS.items() if row.get(theirs)}
    if isinstance(fields.get("extra"), dict):
        fields["extra"] = json.dumps(fields["extra"])
    return Connection(conn_id=row["conn_id"], **fields)


def _variable(name: str, value: Any, description: Any = None) -> Any:
    from airflow.models import Variable

    text = value if isinstance(value, str) else json.dumps(value)
    return Variable(key=name, val=text, description=description)


def _pool(
    name: str, slots: Any, description: Any = "", include_deferred: Any = False, **_: Any
) -> Any:
    from airflow.models import Pool

    return Pool(
        pool=name,
        slots=int(slots),
        description=str(description or ""),
        include_deferred=bool(include_deferred),
    )
