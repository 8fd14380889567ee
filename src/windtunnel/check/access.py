"""What a DAG file reaches while it is parsed: the network, databases, new processes.

Python's audit events say it (docs.python.org/3/library/audit_events.html). Database drivers
written in C raise none: their `connect` is wrapped.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from windtunnel.check.own_code import OwnCode, Place

NETWORK = "network"
DATABASE = "database"
FORK = "fork"
#: Drivers that connect in C.
DRIVERS = frozenset({"psycopg2", "psycopg", "MySQLdb", "pyodbc", "pymssql", "ibm_db", "oracledb"})
#: Looking these up asks nobody else.
HERE = ("localhost", "127.", "::1", "0.0.0.0")  # noqa: S104


class Access:
    """Collects each access with the project's own frames; several of one line count once."""

    def __init__(self, own: OwnCode) -> None:
        self.found: dict[tuple[str, Place], dict[str, Any]] = {}
        self._own = own
        self._on = False
        sys.addaudithook(self._hear)
        for name in DRIVERS & sys.modules.keys():
            self.watch(name)

    def switch(self, on: bool) -> None:
        """An audit hook cannot be taken away."""
        self._on = on

    def watch(self, name: str) -> None:
        """Wrap a driver's `connect`, once the driver was imported."""
        module = sys.modules.get(name)
        connect = getattr(module, "connect", None)
        if name not in DRIVERS or connect is None or hasattr(connect, "__wrapped__"):
            return

        @functools.wraps(connect)
        def noted(*args: Any, **kwargs: Any) -> Any:
            # Not the arguments: they may hold a password.
            self._note(DATABASE, f"connects to a database with {name}")
            return connect(*args, **kwargs)

        module.connect = noted  # type: ignore[union-attr]

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        meaning = EVENTS.get(event)
        if meaning is None or not self._on:
            return
        kind, describe = meaning
        try:
            text = describe(*args)
        except Exception:  # An argument may be anything.
            text = event
        if text:
            self._note(kind, text)

    def _note(self, kind: str, text: str) -> None:
        if not self._on:
            return
        # What it does itself, such as to write the place, is no access.
        self._on = False
        try:
            # The frames of this class are not the project's.
            frames = self._own.frames(sys._getframe(1))
            if frames:
                found = {"kind": kind, "text": text, "frames": frames}
                self.found.setdefault((kind, frames[-1]), found)
        finally:
            self._on = True


def _connects(sock: socket.socket, address: Any) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return ""
    return f"connects to {address[0]}:{address[1]}"


def _sends(sock: socket.socket, address: Any) -> str:
    is_internet = sock.family in (socket.AF_INET, socket.AF_INET6)
    return f"sends to {address[0]}:{address[1]}" if is_internet else ""


def _looks_up(host: Any, *_: Any) -> str:
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "localhost")
    if name.startswith(HERE) or name == socket.gethostname():
        return ""
    return f"looks up the address of {name}"


def _opens(url: Any, *_: Any) -> str:
    parts = urlsplit(str(url))
    return f"opens {parts.scheme}://{parts.hostname or ''}" if parts.scheme != "file" else ""


def _opens_file(database: Any) -> str:
    name = database.decode(errors="replace") if isinstance(database, bytes) else str(database)
    return "" if name in (":memory:", "") or "mode=memory" in name else f"opens the database {name}"


def _forks() -> str:
    return "forks"


EVENTS: dict[str, tuple[str, Callable[..., str]]] = {
    "socket.connect": (NETWORK, _connects),
    "socket.sendto": (NETWORK, _sends),
    "socket.getaddrinfo": (NETWORK, _looks_up),
    "socket.gethostbyname": (NETWORK, _looks_up),
    "socket.gethostbyaddr": (NETWORK, _looks_up),
    "urllib.Request": (NETWORK, _opens),
    "sqlite3.connect": (DATABASE, _opens_file),
    "os.fork": (FORK, _forks),
    "os.forkpty": (FORK, _forks),
}
