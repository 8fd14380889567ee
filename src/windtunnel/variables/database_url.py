"""DATABASE_URL: a PostgreSQL that somebody else runs, which the stack uses instead of its own.

Standard library only: settings reads this before every command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from windtunnel.errors import UsageError

VARIABLE = "DATABASE_URL"
SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")
#: Parameters of libpq that say how the connection is protected ("34.1.2. Parameter Key Words").
TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
OTHERS = ("application_name", "channel_binding", "connect_timeout", "options")
DEFAULT_PORT = 5432
#: libpq refuses these, and its message repeats them.
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


@dataclass(frozen=True)
class Database:
    """A database of another service's.

    Args:
        public: its URL without password and parameters; it may be shown.
        url: the whole one, as SQLAlchemy reads it. Only `up` has it: the others read a secret.
    """

    public: str
    host: str
    port: int
    url: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """`HOST:PORT/NAME`, for messages."""
        return self.public.partition("@")[2]


def parse(text: str) -> Database | None:
    """The database in a URL; None for no text.

    Raises:
        UsageError: the URL cannot be used. The message never holds the password.
    """
    text = text.strip()
    if not text:
        return None
    try:
        url = urlsplit(text)
        port = url.port or DEFAULT_PORT
    except ValueError:
        escapes = "a password writes / ? # as %2F %3F %23"
        raise _refused(f"its host or port cannot be read ({escapes})") from None
    if fault := _fault(text, url):
        raise _refused(fault)
    place = url.netloc.rpartition("@")[2]
    if url.port is None:
        place = f"{place.removesuffix(':')}:{DEFAULT_PORT}"
    login, _, password = url.netloc.rpartition("@")[0].partition(":")
    secret = f"{login}:{password}" if password else login
    query = f"?{url.query}" if url.query else ""
    return Database(
        public=f"postgresql://{login}@{place}{url.path}",
        host=url.hostname or "",
        port=port,
        url=f"postgresql+psycopg2://{secret}@{place}{url.path}{query}",
    )


def _fault(text: str, url: SplitResult) -> str | None:
    if any(c.isspace() or not c.isprintable() for c in text):
        return "it has a blank or a control character"
    if url.scheme not in SCHEMES:
        return f"its scheme is {url.scheme!r}, and Airflow runs here on PostgreSQL only"
    if url.fragment:
        return "it has a `#`, which a password must write as %23"
    # libpq would take what follows the first one for the host, and show it.
    if url.netloc.count("@") > 1:
        return "it has more than one `@`; one in a user's name or password is written %40"
    if BAD_ESCAPE.search(text):
        return "it has a `%` that begins no escape; one in a password is written %25"
    if not url.hostname:
        return "it names no host (a socket's folder cannot be used)"
    if not url.username:
        return "it names no user"
    if not unquote(url.path).strip("/") or "/" in url.path[1:]:
        return "it must end with the name of one database"
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        if name not in (*TLS, *OTHERS):
            known = ", ".join(sorted((*TLS, *OTHERS)))
            return f"it has a parameter {name!r}; those that can be used are {known}"
        if name in FILES and not value.startswith("/"):
            return f"{name} must be a whole path: the processes have folders of their own"
    return None


def _refused(fault: str) -> UsageError:
    step = f"write {SHAPE}, or unset it to have a PostgreSQL of the stack's own"
    return UsageError(f"{VARIABLE} cannot be used: {fault}: {step}")


def asynchronous(url: str) -> str:
    """The same database for asyncpg. It takes libpq's parameters otherwise: see `protection`."""
    parts = urlsplit(url)
    return f"postgresql+asyncpg://{parts.netloc}{parts.path}"


def protection(url: str) -> str:
    """A URL with the TLS parameters alone, as asyncpg's `dsn` takes them; empty without any."""
    pairs = [part for part in urlsplit(url).query.split("&") if part.partition("=")[0] in TLS]
    return f"postgresql://?{'&'.join(pairs)}" if pairs else ""
