"""The folder of the stock stack: passwords, PostgreSQL and Valkey as their images make them."""

from __future__ import annotations

import json
import os
import secrets as random
import shlex
import shutil
import subprocess

from windtunnel.errors import WindtunnelError
from windtunnel.services.postgres_user import as_service_user, service_user
from windtunnel.services.state_folder import DATABASE, write_private
from windtunnel.settings import ADMIN, Settings
from windtunnel.system import socket_folder


def prepare(settings: Settings) -> None:
    """Make everything; called once, on an empty folder.

    The names of the secrets are those that our clients read.

    Raises:
        WindtunnelError: the database cannot be created.
    """
    settings.state.mkdir(mode=0o711)
    for folder in (settings.secrets, settings.run, settings.state / "valkey"):
        folder.mkdir(mode=0o700)
    if settings.socket.parent != settings.run:
        socket_folder.make(settings.socket.parent)
    settings.logs.mkdir()
    (settings.state / "airflow").mkdir()
    passwords = {
        name: random.token_urlsafe(24) for name in ("airflow", "flower", "valkey", "postgres")
    }
    database = f"{DATABASE}:{passwords['postgres']}@127.0.0.1:{settings.ports.postgres}/{DATABASE}"
    texts = {f"{name}-password": text for name, text in passwords.items()} | {
        "broker-url": f"redis://:{passwords['valkey']}@127.0.0.1:{settings.ports.valkey}/0",
        "database-url": f"postgresql+psycopg2://{database}",
        "result-backend": f"db+postgresql://{database}",
        "flower-basic-auth": f"{ADMIN}:{passwords['flower']}",
        "simple-auth-manager.json": json.dumps({ADMIN: passwords["airflow"]}),
    }
    for name, text in texts.items():
        write_private(settings.secrets / name, text)
    _valkey(settings, passwords["valkey"])
    _postgres(settings, passwords["postgres"])


def _valkey(settings: Settings, password: str) -> None:
    """Valkey with its defaults, as its image starts it: snapshots, no append-only file.

    Ours writes each message to disk.
    """
    lines = {
        "bind": "127.0.0.1",
        "port": settings.ports.valkey,
        "dir": json.dumps(str(settings.state / "valkey")),
        "requirepass": password,
    }
    write_private(
        settings.state / "valkey" / "valkey.conf",
        "".join(f"{key} {value}\n" for key, value in lines.items()),
    )


def _postgres(settings: Settings, password: str) -> None:
    """`initdb` with defaults, a superuser role and passwords.

    The image's docker-entrypoint.sh does the same.
    """
    data = settings.state / "postgres"
    data.mkdir(mode=0o700)
    if (user := service_user(data)) is not None:
        os.chown(data, user.pw_uid, user.pw_gid)
    _run(settings, ["initdb", "-D", str(data), "-U", DATABASE, "--auth=reject"], "")
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    create = f"ALTER ROLE {DATABASE} PASSWORD '{password}';\nCREATE DATABASE {DATABASE};\n"
    _run(
        settings,
        [
            "postgres",
            "--single",
            "-D",
            str(data),
            "-c",
            "log_min_error_statement=panic",
            "postgres",
        ],
        create,
    )
    serve = [
        shutil.which("postgres") or "postgres",
        "-D",
        str(data),
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    serve += ["-c", f"port={settings.ports.postgres}", "-c", "unix_socket_directories="]
    script = settings.state / "postgres.sh"
    script.write_text(f"exec {shlex.join(as_service_user(data, serve))}\n")


def _run(settings: Settings, command: list[str], stdin: str) -> None:
    full = as_service_user(
        settings.state / "postgres",
        [shutil.which(command[0]) or command[0], *command[1:]],
    )
    done = subprocess.run(full, input=stdin, capture_output=True, text=True, cwd="/")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WindtunnelError(
            f"{command[0]} of the stock stack failed with exit code {done.returncode}: {last}",
        )
