"""`python -m windtunnel.runtime.project_objects`: a project's connections, variables and pools.

`migrate` runs it when a file of the project has changed, or the database is new. An object that a
person changed or deleted in Airflow's UI stays as the person left it. The digests of the objects
that were imported last tell one from the other; they lie in the state folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from windtunnel.project import record
from windtunnel.project.airflow_files import ASTRONOMER, KINDS
from windtunnel.services import project_objects
from windtunnel.settings import load

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


def import_all(files: list[Path], known: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Bring the objects of the files into Airflow's database.

    Args:
        known: `kind/name` -> digest of each object as it was imported last.

    Returns:
        The new digests, and one line for each object that was left alone or cannot be used.
    """
    from airflow.utils.session import create_session

    lines: list[str] = []
    after = dict(known)
    with create_session() as session:
        for file in files:
            try:
                found = list(_objects(file))
            except Exception as error:  # Airflow's parsers raise what they like.
                lines.append(f"{file.name} was not imported: {str(error).splitlines()[0]}")
                continue
            for kind, name, new in found:
                key = f"{kind}/{name}"
                present = _present(session, kind, name)
                if present is None and key in known:
                    lines.append(f"{kind[:-1]} {name} was deleted in Airflow, and stays so")
                    continue
                if present is not None and _digest(_text(kind, present)) != known.get(key):
                    same = _text(kind, present) == _text(kind, new)
                    if not same:
                        lines.append(f"{kind[:-1]} {name} was changed in Airflow, and stays so")
                        continue
                if present is not None:
                    session.delete(present)
                    session.flush()
                session.add(new)
                after[key] = _digest(_text(kind, new))
    return after, lines


def _objects(file: Path) -> Iterator[tuple[str, str, Any]]:
    """(kind, name, object) of each object in a file, by Airflow's own parsers."""
    from airflow.models import Pool, Variable
    from airflow.secrets.local_filesystem import load_connections_dict, load_variables

    if file.name == ASTRONOMER:
        yield from _astronomer(yaml.safe_load(file.read_text()) or {})
        return
    kind = next(kind for kind in KINDS if file.name.startswith(kind))
    if kind == "connections":
        for name, connection in load_connections_dict(str(file)).items():
            yield kind, name, connection
    elif kind == "variables":
        for name, value in load_variables(str(file)).items():
            yield kind, name, Variable(key=name, val=_scalar(value))
    else:
        for name, fields in json.loads(file.read_text()).items():
            yield kind, name, _pool(Pool, name, fields.get("slots"), fields.get("description"))


def _astronomer(data: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The objects in the file of Astronomer's command line; entries without a name are none."""
    from airflow.models import Connection, Pool, Variable

    airflow = data.get("airflow") or {}
    for row in airflow.get("connections") or []:
        if row.get("conn_id"):
            fields = {ours: row[theirs] for theirs, ours in FIELDS.items() if row.get(theirs)}
            if isinstance(fields.get("extra"), dict):
                fields["extra"] = json.dumps(fields["extra"])
            yield "connections", row["conn_id"], Connection(conn_id=row["conn_id"], **fields)
    for row in airflow.get("variables") or []:
        if name := row.get("variable_name"):
            yield "variables", name, Variable(key=name, val=_scalar(row.get("variable_value")))
    for row in airflow.get("pools") or []:
        if name := row.get("pool_name"):
            yield (
                "pools",
                name,
                _pool(Pool, name, row.get("pool_slot"), row.get("pool_description")),
            )


def _pool(model: Any, name: str, slots: Any, description: Any) -> Any:
    return model(
        pool=name, slots=int(slots), description=str(description or ""), include_deferred=False
    )


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _present(session: Any, kind: str, name: str) -> Any:
    from airflow.models import Connection, Pool, Variable
    from sqlalchemy import select

    columns = {"connections": Connection.conn_id, "variables": Variable.key, "pools": Pool.pool}
    models = {"connections": Connection, "variables": Variable, "pools": Pool}
    return session.scalar(select(models[kind]).where(columns[kind] == name))


def _text(kind: str, row: Any) -> str:
    """What a person can change of an object, as one text."""
    if kind == "connections":
        names = ("conn_type", "description", "host", "schema", "login", "port", "extra")
        values: list[Any] = [getattr(row, name) for name in names]
        values.append(row.password)
    elif kind == "variables":
        values = [row.val]
    else:
        values = [row.slots, row.description]
    return json.dumps([str(value or "") for value in values])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    settings = load(client=False)
    found = record.read(settings.state)
    if found is None:
        return
    record.enter()
    files = [Path(found.root) / name for name in found.objects]
    state = project_objects.read(settings)
    known, lines = import_all(files, state.get("objects", {}))
    for line in lines:
        print(f"windtunnel: {line}", flush=True)
    project_objects.write(settings, state | {"objects": known})
    print(f"imported the connections, variables and pools of {', '.join(found.objects)}")


if __name__ == "__main__":
    main()
