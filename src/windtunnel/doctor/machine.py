"""`windtunnel doctor`: the programs and users of this machine, with the remedy of each fault."""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import replace

from windtunnel.brokers import rabbitmq_programs
from windtunnel.doctor import stack
from windtunnel.doctor.finding import Finding
from windtunnel.errors import WindtunnelError
from windtunnel.services import server_wheels
from windtunnel.services.postgres_user import service_user
from windtunnel.settings import Settings

SET_UP = "run this through ./dev or `nix develop`, which bring it"
SERVERS = f"{SET_UP}; or install it yourself and set WINDTUNNEL_SERVERS=path"


def examine(settings: Settings) -> list[Finding]:
    """Examine everything that a stack needs.

    This takes about a second. It starts nothing, changes nothing and raises nothing.
    """
    return [
        _python(),
        _program("uv", ["uv", "--version"], (0, 5), SET_UP, needed=False),
        _server("PostgreSQL", "postgres", (15, 0)),
        _postgres_user(settings),
        _broker(settings),
        _process_compose(),
        *stack.ports(settings),
        stack.state(settings),
        stack.socket_path(settings),
        stack.disk(settings),
        stack.memory(),
        *stack.running(settings),
    ]


def _version(command: list[str]) -> tuple[tuple[int, int], str] | None:
    """(major, minor) and the first line of a program's output; None when it cannot be run."""
    try:
        # process-compose logs on stderr when it has no configuration folder.
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    line = next(iter(done.stdout.strip().splitlines()), "")
    numbers = re.search(r"(\d+)\.(\d+)", line)
    if numbers is None:
        return (0, 0), line
    return (int(numbers[1]), int(numbers[2])), line


def _program(
    name: str,
    command: list[str],
    oldest: tuple[int, int],
    remedy: str,
    needed: bool = True,
) -> Finding:
    path = shutil.which(command[0])
    if path is None:
        if not needed:
            return Finding(name, True, "not on PATH; only a set-up without Nix needs it")
        return Finding(name, False, f"{command[0]} is not on PATH", remedy)
    found = _version([path, *command[1:]])
    if found is None:
        return Finding(name, False, f"{path} cannot be run", remedy)
    version, line = found
    shown = ".".join(map(str, version))
    if version < oldest:
        least = ".".join(map(str, oldest))
        detail = f"{path} is {shown}; {least} or newer is needed ({line})"
        return Finding(name, False, detail, remedy)
    return Finding(name, True, f"{shown} ({path})")


def _python() -> Finding:
    shown = f"{platform.python_version()} ({sys.executable})"
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    remedy = f"Airflow 3.3 runs on Python 3.11 to 3.13: {SET_UP}"
    return Finding("Python", ok, shown, "" if ok else remedy)


def _server(name: str, program: str, oldest: tuple[int, int]) -> Finding:
    """A server, with where its program comes from: a wheel, Nix or PATH."""
    found = _program(name, [program, "--version"], oldest, SERVERS)
    path = shutil.which(program)
    if not found.ok or path is None:
        return found
    return replace(found, detail=f"{found.detail} from {server_wheels.origin(path)}")


def _broker(settings: Settings) -> Finding:
    """The server of the broker that BROKER names."""
    if settings.broker == "valkey":
        return _server("Valkey", "valkey-server", (8, 0))
    try:
        found = rabbitmq_programs.find()
    except WindtunnelError as error:
        return Finding("RabbitMQ", False, "not on this machine", str(error))
    return Finding("RabbitMQ", True, f"{found.version or 'unknown version'} ({found.server})")


def _postgres_user(settings: Settings) -> Finding:
    """PostgreSQL refuses root, so root needs another user and a way to become that user."""
    name = "user for PostgreSQL"
    try:
        user = service_user(settings.state / "postgres")
    except WindtunnelError as error:
        return Finding(name, False, str(error), "useradd --system postgres")
    if user is None:
        return Finding(name, True, f"{pwd.getpwuid(os.geteuid()).pw_name}, an ordinary user")
    if shutil.which("setpriv") is None:
        detail = f"this is root, and setpriv is not there to become {user.pw_name}"
        return Finding(name, False, detail, "apt-get install util-linux")
    return Finding(name, True, f"{user.pw_name} (uid {user.pw_uid}), since this is root")


def _process_compose() -> Finding:
    from windtunnel.stack.real_binary import OLDEST, real_binary

    try:
        path = real_binary()
    except WindtunnelError as error:
        remedy = "unset WINDTUNNEL_PROCESS_COMPOSE; ./dev windtunnel doctor"
        return Finding("process-compose", False, str(error), remedy)
    return _program("process-compose", [path, "version", "--short"], OLDEST, SET_UP)
