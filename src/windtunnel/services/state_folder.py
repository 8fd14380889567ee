"""The state folder: folders, secrets, the services' configuration.

Making it again changes nothing that is there.
"""

from __future__ import annotations

import base64
import json
import os
import secrets as random
from collections.abc import Callable, Mapping
from pathlib import Path

from windtunnel.brokers import choice
from windtunnel.brokers.interface import Broker
from windtunnel.errors import WindtunnelError
from windtunnel.settings import ADMIN, SOCKET_PATH_LIMIT, STATE, Settings
from windtunnel.system import socket_folder
from windtunnel.variables import database_url

DATABASE = "airflow"
#: The end of a file's name while it is written.
NEW = ".new"


def _password() -> str:
    return random.token_urlsafe(24)


def _fernet_key() -> str:
    """32 random bytes in URL-safe base64, as `Fernet.generate_key` of cryptography makes them."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


#: Secrets that are made once and kept. A file below the shortest acceptable length was cut short.
GENERATED: dict[str, tuple[Callable[[], str], int]] = {
    "airflow-password": (_password, 8),
    "flower-password": (_password, 8),
    "postgres-password": (_password, 8),
    "jwt-secret": (lambda: random.token_urlsafe(64), 32),
    "api-secret-key": (lambda: random.token_urlsafe(32), 16),
    "fernet-key": (_fernet_key, 44),
}


def generated(broker: Broker) -> dict[str, tuple[Callable[[], str], int]]:
    """The secrets of a stack with this broker."""
    return GENERATED | dict.fromkeys(broker.secrets, (_password, 8))


def derived(secrets: Mapping[str, str], broker_url: str, database: str) -> dict[str, str]:
    """The texts that follow from the generated secrets, by file name.

    Args:
        secrets: the text of each secret in `GENERATED`.
        broker_url: for Celery, with its password.
        database: `host:port` of PostgreSQL.
    """
    login = f"{DATABASE}:{secrets['postgres-password']}"
    url = f"postgresql+psycopg2://{login}@{database}/{DATABASE}"
    return {
        "broker-url": broker_url,
        "database-url": url,
        "result-backend": f"db+{url}",
        "flower-basic-auth": f"{ADMIN}:{secrets['flower-password']}",
        "simple-auth-manager.json": json.dumps({ADMIN: secrets["airflow-password"]}),
    }


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a private file in one step: a reader sees the old text or the new one."""
    new = path.with_name(path.name + NEW)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
    except OSError:
        # The disk is full. Half of a secret is a secret too.
        new.unlink(missing_ok=True)
        raise
    new.replace(path)


def folders(settings: Settings) -> None:
    """Make the state folder and the folders in it; raises `WindtunnelError` where it cannot."""
    try:
        # Where we are root, PostgreSQL runs as another user: it may pass through, not list.
        settings.state.mkdir(mode=0o711, parents=True, exist_ok=True)
        # Logs too: a task may print what only its user should read.
        broker = settings.state / choice.of(settings).name
        for folder in (settings.secrets, settings.run, broker, settings.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        shared = (
            settings.logs / "tasks",
            settings.run / "heartbeats",
            settings.run / "workers",
        )
        for folder in shared:
            folder.mkdir(parents=True, exist_ok=True)
        probe = settings.state / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        problem = f"cannot write the state folder {settings.state} ({error.strerror})"
        remedy = "set WINDTUNNEL_STATE to a folder you can write"
        raise WindtunnelError(f"{problem}: {remedy}") from None
    if settings.socket.parent != settings.run:
        socket_folder.make(settings.socket.parent)
    if len(os.fsencode(settings.socket)) > SOCKET_PATH_LIMIT:
        raise WindtunnelError(
            f"the path of the stack's socket is too long for the kernel ({settings.socket}): "
            "set WINDTUNNEL_STATE to a shorter path, "
            "or XDG_CACHE_HOME to a folder of your own with a short one"
        )


def _usable(path: Path, shortest: int) -> str | None:
    """The secret's text, None where there is no file.

    Raises:
        WindtunnelError: the file is there but holds no secret. A new one would lock us out.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot read the secret {path} ({error.strerror}): run as the user who made it"
        raise WindtunnelError(message) from None
    strange = any(chr(byte).isspace() or not chr(byte).isprintable() for byte in text)
    if len(text) < shortest or not text.isascii() or strange:
        raise WindtunnelError(
            f"the secret {path} is damaged ({len(text)} bytes, not the text that was made): "
            "restore the file, or start afresh with `windtunnel reset`"
        )
    return text.decode()


def _secrets(settings: Settings) -> None:
    made: dict[str, str] = {}
    broker = choice.of(settings)
    for name, (make, shortest) in generated(broker).items():
        path = settings.secrets / name
        text = _usable(path, shortest)
        if text is None:
            text = make()
            write_private(path, text)
        path.chmod(0o600)
        made[name] = text
    url = broker.url(made[broker.secrets[0]], f"127.0.0.1:{broker.port(settings.ports)}")
    database = f"127.0.0.1:{settings.ports.postgres}"
    texts = derived(made, url, database)
    if settings.database:
        texts |= _of_outside(settings.database.url)
    for name, text in texts.items():
        write_private(settings.secrets / name, text)


def _of_outside(url: str) -> dict[str, str]:
    """The secrets with the URL of a database that somebody else runs."""
    return {
        "database-url": url,
        "database-url-async": database_url.asynchronous(url),
        "result-backend": f"db+{url}",
    }


def prepare(settings: Settings) -> None:
    """Make what is missing of the state folder.

    Raises:
        WindtunnelError: it cannot be written, a secret is damaged, or another major version of
            PostgreSQL made the database.
    """
    from windtunnel.services import postgres

    folders(settings)
    ignored = settings.state / ".gitignore"
    if settings.state.name == STATE and not ignored.exists():
        # A repository of DAGs may not name it, and `git add .` would take the secrets along.
        write_private(ignored, "*\n")
    _secrets(settings)
    for file in choice.of(settings).files(settings):
        write_private(file.path, file.text, file.mode)
    if settings.database is None:
        postgres.create(settings)
