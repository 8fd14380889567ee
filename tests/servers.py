"""The stack's PostgreSQL and Valkey alone, as it starts them, for tests that need no Airflow: a few seconds."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from tests.stack_fixture import ROOT, until
from windtunnel.clients.postgres import libpq_url
from windtunnel.health import checks
from windtunnel.services import state_folder
from windtunnel.settings import Settings, load
from windtunnel.stack.ports import free_offset


@contextlib.contextmanager
def running(folder: Path, *names: str, offset: int | None = None) -> Iterator[Settings]:
    """Settings of a state folder whose `postgres` and `valkey` run, as far as they are named."""
    variables = {
        "WINDTUNNEL_STATE": str(folder),
        "PORT_OFFSET": str(free_offset() if offset is None else offset),
        "WINDTUNNEL_ROOT": str(ROOT),
    }
    settings = load({**os.environ, **variables}, client=False)
    state_folder.prepare(settings)
    commands = {
        "postgres": [sys.executable, "-m", "windtunnel.services.postgres"],
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
            check = checks.CHECKS[name]
            until(f"{name} answers", lambda check=check: check(settings) is None, 30, 0.05)  # type: ignore[misc]
        yield settings
    finally:
        for process in processes:
            # For PostgreSQL the fast shutdown, which ends its children too.
            process.send_signal(2)
        for process in processes:
            process.wait(30)


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
