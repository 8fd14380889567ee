"""When a project's connections, variables and pools are imported, and what was imported last."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from psycopg2.extensions import connection as Connection

from windtunnel.project import record
from windtunnel.services.state_folder import write_private
from windtunnel.settings import Settings

#: In the state folder: the database, the files' digests, a digest of each object, and those of an
#: import that has begun.
NAME = "objects.json"


def read(settings: Settings) -> dict[str, Any]:
    try:
        data = json.loads((settings.state / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def write(settings: Settings, data: dict[str, Any]) -> None:
    write_private(settings.state / NAME, json.dumps(data, indent=1))


def changed(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those of the project's files that are not as they were imported last."""
    files = read(settings).get("files")
    known = files if isinstance(files, dict) else {}
    root = settings.project or settings.state
    now = {name: record.digest(root / name) for name in names}
    return [name for name, digest in now.items() if digest and digest != known.get(name)]


def refused(settings: Settings) -> list[str]:
    """A line for each file or object that the last import could not use."""
    lines = read(settings).get("refused")
    return [str(line) for line in lines] if isinstance(lines, list) else []


def bring(settings: Settings, connection: Connection) -> bool:
    """Import them where a file has changed since the last time, or the database is new.

    A failure is a warning: the stack can run without them, and the DAGs' errors name them.

    Returns:
        Whether all could be done.
    """
    found = record.read(settings.state)
    if found is None or not found.objects or settings.project is None:
        return True
    wanted: dict[str, Any] = {
        "database": _identity(connection),
        "files": {name: record.digest(settings.project / name) for name in found.objects},
    }
    known = read(settings)
    if wanted.items() <= known.items():
        return True
    # Objects that were imported into another database were not deleted in this one.
    former = known if known.get("database") == wanted["database"] else {}
    digests = {name: former.get(name) for name in ("objects", "begun")}
    kept = {name: each if isinstance(each, dict) else {} for name, each in digests.items()}
    # The database stays: after a failure the next import must still know what is whose.
    write(settings, {"database": wanted["database"], **kept})
    command = [sys.executable, "-m", "windtunnel.runtime.project_objects"]
    if os.spawnv(os.P_WAIT, sys.executable, command) != 0:
        print("windtunnel: warning: the project's objects were not imported, see the lines above")
        return False
    write(settings, read(settings) | wanted)
    return not refused(settings)


def _identity(connection: Connection) -> str:
    """Another text for another database; `airflow db reset` makes one as well."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT system_identifier, 'alembic_version'::regclass::oid FROM pg_control_system()"
        )
        row = cursor.fetchone()
    return "-".join(map(str, row)) if row else ""
