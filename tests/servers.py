"""The stack's PostgreSQL and Valkey alone, as it starts them, for tests that need no Airflow: a few seconds."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.stack_fixture import ROOT, until
from windtunnel.clients.postgres import libpq_url
from windtunnel.health import checks
from windtunnel.services import state_folder
from windtunnel.settings import Settings, load
from windtunnel.stack.ports import free_offset, free_port, is_taken


@contextlib.contextmanager
def running(folder: Path, *names: str, offset: int | None = None) -> Iterator[Settings]:
    """Settings of a state folder whose servers run, as far as they are named."""
    broker = "rabbitmq" if "rabbitmq" in names else "valkey"
    variables = {
        "BROKER": broker,
        "WINDTUNNEL_STATE": str(folder),
        "PORT_OFFSET": str(free_offset(broker) if offset is None else offset),
        "WINDTUNNEL_ROOT": str(ROOT),
    }
    settings = load({**os.environ, **variables}, client=False)
    state_folder.prepare(settings)
    commands = {
        "postgres": [sys.executable, "-m", "windtunnel.services.postgres"],
        "rabbitmq": [sys.executable, "-m", "windtunnel.brokers.rabbitmq_server"],
        "valkey": ["valkey-server", str(folder / "valkey" / "valkey.conf")],
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            log = (folder / f"{name}.log").open("wb")
            with log:
                processes.append(
                    subprocess.Popen(
                        commands[name],
                        env={**os.environ, **settings.environment()},
                        stdout=log,
                        stderr=log,
                        cwd="/",
                    )
                )
        for name in names:
            check = partial(checks.service, settings, name)
            until(f"{name} answers", lambda check=check: check() is None, 60, 0.05)  # type: ignore[misc]
        yield settings
    finally:
        for process in processes:
            # For PostgreSQL the fast shutdown, which ends its children too.
            process.send_signal(2)
        for process in processes:
            process.wait(30)


@contextlib.contextmanager
def pooled(settings: Settings, folder: Path) -> Iterator[int]:
    """The port of a PgBouncer that pools transactions in front of a running `postgres`."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    port = free_port()
    login = urlsplit(libpq_url(settings))
    (folder / "users").write_text(f'"{login.username}" "{login.password}"\n')
    (folder / "ini").write_text(
        f"[databases]\nairflow = host=127.0.0.1 port={settings.ports.postgres}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = transaction\n"
        "max_client_conn = 300\n"
    )
    command = [program, str(folder / "ini")]
    if os.geteuid() == 0:
        # It refuses to run as root. Nobody else may list pytest's folders.
        for parent in (folder, *folder.parents):
            parent.chmod(parent.stat().st_mode | 0o011)
        for file in folder.iterdir():
            file.chmod(0o644)
        command = ["setpriv", "--reuid=nobody", "--clear-groups", *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("PgBouncer listens", lambda: is_taken(port), 10, 0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """A cursor of Airflow's role; every statement is a transaction of its own."""
    connection = psycopg2.connect(libpq_url(settings), connect_timeout=5)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
