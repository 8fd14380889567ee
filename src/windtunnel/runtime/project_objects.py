"""`python -m windtunnel.runtime.project_objects`: a project's connections, variables and pools.

`migrate` runs it when a file of the project has changed, or the database is new. An object that a
person changed or deleted in Airflow's UI stays as the person left it. The digests of the objects
that were imported last tell one from the other; they lie in the state folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from windtunnel.project import record
from windtunnel.runtime import project_object_files
from windtunnel.services import project_objects
from windtunnel.settings import load

#: Words of a line about something that cannot be used.
REFUSED = " was not imported: "
#: `kind/name` -> digest of an object.
Digests = dict[str, str]


def import_all(
    files: list[Path],
    known: Digests,
    begun: Digests,
    note: Callable[[Digests], None],
) -> tuple[Digests, list[str]]:
    """Bring the objects of the files into Airflow's database.

    Args:
        known: the digest of each object as it was imported last.
        begun: the digests of a later import, which may have been killed before or after its commit.
        note: called with the new digests before the commit.

    Returns:
        The new digests, and one line for each object that was left alone or cannot be used.
    """
    from airflow.utils.session import create_session

    lines: list[str] = []
    after = dict(known)
    with create_session() as session:
        for file in files:
            try:
                found = list(project_object_files.read(file))
            except Exception as error:  # Airflow's parsers raise what they like.
                lines.append(f"{file.name}{REFUSED}{_reason(error)}")
                continue
            for kind, name, make in found:
                try:
                    # One that the database refuses must not take the others along.
                    with session.begin_nested():
                        line = _bring(session, kind, name, make(), after, begun)
                except Exception as error:
                    line = f"{kind[:-1]} {name}{REFUSED}{_reason(error)}"
                lines += [line] if line else []
        note(after)
    return after, lines


def _bring(session: Any, kind: str, name: str, new: Any, known: Digests, begun: Digests) -> str:
    """Bring one object, and note its digest; returns a line where a person's change stays."""
    key = f"{kind}/{name}"
    present = _present(session, kind, name)
    if present is None and key in known:
        return f"{kind[:-1]} {name} was deleted in Airflow, and stays so"
    if present is not None:
        text = _text(kind, present)
        ours = _digest(text) in (known.get(key), begun.get(key))
        untouched = ours or _is_airflows_own(kind, present)
        if not untouched and text != _text(kind, new):
            return f"{kind[:-1]} {name} was changed in Airflow, and stays so"
        session.delete(present)
        session.flush()
    session.add(new)
    session.flush()
    known[key] = _digest(_text(kind, new))
    return ""


def _is_airflows_own(kind: str, row: Any) -> bool:
    """Whether this is the default pool, as the migration has made it."""
    if kind != "pools" or row.pool != row.DEFAULT_POOL_NAME:
        return False
    from airflow.configuration import conf

    slots = conf.getint("core", "default_pool_task_slot_count")
    return bool((row.slots, row.description) == (slots, "Default pool"))


def _reason(error: Exception) -> str:
    """The first line of an error, without addresses: they may hold passwords."""
    line = next(iter(str(error).splitlines()), "")
    return re.sub(r"\S+://\S+", "****", line) or type(error).__name__


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
        values = [row.val, row.description]
    else:
        values = [row.slots, row.description, row.include_deferred]
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

    def note(digests: Digests) -> None:
        # The file and the database cannot change in one step. Without this, a kill in between would
        # make our own objects look like a person's.
        project_objects.write(settings, state | {"begun": digests})

    known, lines = import_all(files, state.get("objects", {}), state.get("begun", {}), note)
    for line in lines:
        print(f"windtunnel: {line}", flush=True)
    refused = [line for line in lines if REFUSED in line]
    project_objects.write(settings, state | {"objects": known, "begun": {}, "refused": refused})
    print(f"imported the connections, variables and pools of {', '.join(found.objects)}")


if __name__ == "__main__":
    main()
