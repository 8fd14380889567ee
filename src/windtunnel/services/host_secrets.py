"""Secrets of a deployment over several hosts.

    python -m windtunnel.services.host_secrets --broker HOST --database HOST FOLDER

It makes the secrets that FOLDER lacks and keeps the others, so it may be run again.
It writes the URLs anew each time. The administrator then copies the folder, as root, to every host
(docs/guides/several-machines.md). It prints names only.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from windtunnel.brokers.valkey import Valkey
from windtunnel.errors import WindtunnelError
from windtunnel.services.state_folder import derived, generated, write_private

#: Every file that `make` writes.
BROKER = Valkey()
SECRETS = generated(BROKER)
NAMES = {*SECRETS, *derived(dict.fromkeys(SECRETS, ""), "", "")}
DEFAULT_PORTS = {"broker": 6379, "database": 5432}


def _address(text: str, kind: str) -> str:
    """`host:port`, with the kind's own port where none is given."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return f"{text}:{DEFAULT_PORTS[kind]}"
    if not host or not port.isdigit():
        raise WindtunnelError(f"--{kind} {text!r} is not HOST or HOST:PORT")
    return text


def _require_own(folder: Path) -> None:
    """Refuse `/etc` and the like, which mode 0700 would close, and a folder of another user."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        fault = f"the folder {folder} belongs to another user, who could replace the secrets"
        raise WindtunnelError(f"{fault}: name a folder of your own")
    others = {path.name for path in folder.iterdir()} - NAMES
    if others and stat.S_IMODE(found.st_mode) != 0o700:
        fault = f"the folder {folder} has other files ({sorted(others)[0]}), and is to be private"
        raise WindtunnelError(f"{fault}: name a new folder, or set its mode to 0700")


def make(folder: Path, broker: str, database: str) -> list[str]:
    """Write the secrets; returns the names of those that were made.

    Args:
        folder: created with mode 0700 where it is missing; no folder of anything else.
        broker: `host` or `host:port` under which every host reaches Valkey.
        database: the same for PostgreSQL.

    Raises:
        WindtunnelError: the folder cannot be written, holds other things, or a file in it is cut
            short.
    """
    broker, database = _address(broker, "broker"), _address(database, "database")
    made: list[str] = []
    text: dict[str, str] = {}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(folder)
        folder.chmod(0o700)
        for name, (new, shortest) in SECRETS.items():
            path = folder / name
            if not path.exists():
                write_private(path, new())
                made.append(name)
            text[name] = path.read_text()
            if len(text[name]) < shortest:
                remedy = "restore it, or delete it to have another made"
                raise WindtunnelError(f"the secret {path} is cut short: {remedy}")
        url = BROKER.url(text[BROKER.secrets[0]], broker)
        for name, value in derived(text, url, database).items():
            write_private(folder / name, value)
    except OSError as error:
        where = error.filename or folder
        raise WindtunnelError(f"cannot write {where} ({error.strerror}): run as root") from None
    return made


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="windtunnel-secrets",
        description="Make the secrets of a deployment.",
    )
    for option, service in (("--broker", "Valkey"), ("--database", "PostgreSQL")):
        text = f"under which every host reaches {service}"
        parser.add_argument(option, required=True, metavar="HOST[:PORT]", help=text)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(argv)
    try:
        made = make(given.folder, given.broker, given.database)
    except WindtunnelError as error:
        print(f"windtunnel-secrets: {error}", file=sys.stderr)
        return int(error.code)
    print(f"{given.folder}: made {', '.join(made) or 'nothing, all secrets were there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
