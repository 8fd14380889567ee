"""Client of the stack's PostgreSQL: its URL and a first connection."""

from __future__ import annotations

import time

import psycopg2

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings

WAIT_SECONDS = 120.0


def without_driver(url: str) -> str:
    """A database's URL as libpq reads it, without SQLAlchemy's driver name (`+psycopg2`)."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def libpq_url(settings: Settings) -> str:
    """The URL of the stack's database, as libpq reads it."""
    return without_driver(settings.secret("database-url"))


def connect(settings: Settings) -> psycopg2.extensions.connection:
    """Connect as soon as the server accepts a connection.

    Raises:
        WindtunnelError: the server accepted none within `WAIT_SECONDS`.
    """
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return psycopg2.connect(libpq_url(settings), connect_timeout=5)
        except psycopg2.OperationalError as error:
            if time.monotonic() > end:
                message = f"PostgreSQL did not answer for {WAIT_SECONDS:.0f} s"
                raise WindtunnelError(f"{message}: {str(error).strip()}") from None
            time.sleep(0.05)


def pooled(connection: psycopg2.extensions.connection, pid: int) -> bool:
    """Whether a pooler such as PgBouncer stands between: it answers with a number of its own.

    Args:
        pid: the answer of `SELECT pg_backend_pid()` on this connection.
    """
    return pid != int(connection.info.backend_pid)
