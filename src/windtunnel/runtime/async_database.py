"""Arguments of asyncpg for a database that somebody else runs (`DATABASE_URL`).

Airflow imports `CONNECT_ARGS` by its dotted name (`[database] sql_alchemy_connect_args_async`).
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from windtunnel.variables.database_url import protection


def _name() -> str:
    return f"__asyncpg_{uuid.uuid4()}__"


def _connect_args() -> dict[str, Any]:
    # A pooler such as PgBouncer gives each transaction another connection, which knows nothing of
    # the statements prepared before (SQLAlchemy, "Prepared Statement Name with PGBouncer").
    arguments: dict[str, Any] = {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": _name,
    }
    secret = Path(os.environ["WINDTUNNEL_STATE"]) / "secrets" / "database-url"
    if dsn := protection(secret.read_text()):
        arguments["dsn"] = dsn
    return arguments


CONNECT_ARGS = _connect_args()
