"""PostgreSQL of one stack: create its cluster, and run it as a user that it accepts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.services.postgres_user import as_service_user, require_name, service_user
from windtunnel.settings import Settings, load
from windtunnel.variables.database_url import Database

#: The superuser of the database. It has no password and cannot log in.
SUPERUSER = "postgres"
OLDEST_MAJOR = 15
#: Where packages of Debian and Fedora, and Homebrew, put a major version.
OTHER_FOLDERS = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
)
#: The last file that is written: without it the cluster is not complete.
CREATED = "created"
PG_HBA = """\
# Only Airflow's own role, only from this machine, only with its password.
host airflow airflow 127.0.0.1/32 scram-sha-256
"""


def _data(settings: Settings) -> Path:
    return settings.state / "postgres"


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        remedy = "run this through ./dev or `nix develop`, or see `windtunnel doctor`"
        raise WindtunnelError(f"{name} of PostgreSQL is not on PATH: {remedy}")
    return path


def installed_major() -> int:
    """Major version of the server on PATH."""
    command = [_program("postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[2].split(".")[0])


def create(settings: Settings) -> None:
    """Create the database cluster where there is none.

    Raises:
        WindtunnelError: the folder belongs to another major version, or initdb fails.
    """
    data = _data(settings)
    version = data / "PG_VERSION"
    if (data / CREATED).exists() and version.exists():
        have, wants = installed_major(), version.read_text().strip()
        if str(have) != wants:
            raise WindtunnelError(
                f"the database in {data} was made by PostgreSQL {wants}, which {have} cannot open: "
                f"{_way_on(wants)}; or set WINDTUNNEL_STATE to another folder, "
                "or start afresh with `windtunnel reset`"
            )
        return
    have = installed_major()
    if have < OLDEST_MAJOR:
        needed = f"{OLDEST_MAJOR} or newer is needed (see `windtunnel doctor`)"
        raise WindtunnelError(f"PostgreSQL {have} is too old: {needed}")
    if data.exists():
        # A creation was interrupted: the folder has never held any data.
        shutil.rmtree(data)
    require_name()
    data.mkdir(mode=0o700)
    if (user := service_user(data)) is not None:
        os.chown(data, user.pw_uid, user.pw_gid)
    # Only the single-user mode below uses the superuser.
    cluster = ["initdb", "-D", str(data), "-U", SUPERUSER, "-E", "UTF8", "--locale=C"]
    _run(settings, [*cluster, "--no-sync", "--auth=reject"], "")
    (data / "pg_hba.conf").write_text(PG_HBA)
    password = settings.secret("postgres-password")
    server = ["postgres", "--single", "-D", str(data), "-c", "log_min_error_statement=panic"]
    statements = (
        f"CREATE ROLE airflow LOGIN PASSWORD '{password}'",
        "CREATE DATABASE airflow OWNER airflow",
    )
    _run(settings, [*server, "postgres"], "".join(f"{text};\n" for text in statements))
    (data / CREATED).touch()


def _way_on(major: str) -> str:
    """What keeps the content of a database that another major version made."""
    for pattern in OTHER_FOLDERS:
        folder = Path(pattern.format(major))
        if (folder / "postgres").exists():
            return (
                f"go on with the old one by `PATH={folder}:$PATH WINDTUNNEL_SERVERS=path`, "
                "which can also carry it over (docs/guides/updating.md)"
            )
    return (
        f"install PostgreSQL {major} to go on with it or to carry it over (docs/guides/updating.md)"
    )


def _run(settings: Settings, command: list[str], stdin: str) -> None:
    command = [_program(command[0]), *command[1:]]
    done = subprocess.run(
        as_service_user(_data(settings), command),
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | {"LC_ALL": "C"},
    )
    if done.returncode:
        name, cause = Path(command[0]).name, _cause(done.stderr)
        raise WindtunnelError(f"{name} failed with exit code {done.returncode}: {cause}")


def _cause(stderr: str) -> str:
    """The server's error message, else the program's.

    Neither is the last line: initdb ends with the names of the folders that it removed.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for marks in (("FATAL:", "PANIC:"), ("error:", "ERROR:"), ("could not",)):
        for line in lines:
            if any(mark in line for mark in marks):
                return line
    aftermath = ("removing ", "child process exited")
    lines = [line for line in lines if not any(text in line for text in aftermath)]
    return lines[-1] if lines else "no message"


def _watch(database: Database) -> None:
    """Replace this process by one that only waits: the probe asks the database of another service.

    So the process list shows its health, and every process waits for it as for the stack's own.
    """
    print(f"the database is {database.name}, which this stack neither starts nor stops", flush=True)
    os.execvp("sleep", ["sleep", "infinity"])


def main() -> None:
    """Replace this process by the server."""
    try:
        settings = load()
        if settings.database:
            _watch(settings.database)
        data = _data(settings)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": settings.ports.postgres,
            "unix_socket_directories": "",
            "max_connections": settings.postgres_max_connections,
            # Below the data folder: a killed server leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            # Passwords and statements stay out of the log. People need errors and restarts there.
            "log_statement": "none",
            "log_min_error_statement": "panic",
        }
        command = [_program("postgres"), "-D", str(data)]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        command = as_service_user(_data(settings), command)
        os.execvp(command[0], command)
    except WindtunnelError as error:
        sys.exit(f"windtunnel: {error}")


if __name__ == "__main__":
    main()
