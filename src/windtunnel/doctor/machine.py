"""What is missing or wrong on this machine, and the command that mends it: `windtunnel doctor`."""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import subprocess
import sys

from windtunnel.doctor import stack
from windtunnel.doctor.finding import Finding
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings

SET_UP = "run this through ./dev or `nix develop`, which bring it"


def examine(settings: Settings) -> list[Finding]:
    """Look at everything a stack needs. Starts nothing, changes nothing, raises nothing; takes about a second."""
    return [
        _python(),
        _program("uv", ["uv", "--version"], (0, 5), SET_UP, needed=False),
        _program("PostgreSQL", ["postgres", "--version"], (15, 0), _install("postgresql", "postgresql-server", "postgresql@17")),
        _postgres_user(),
        _program("Valkey", ["valkey-server", "--version"], (8, 0), _install("valkey-server", "valkey", "valkey")),
        _process_compose(),
        *stack.ports(settings),
        stack.state(settings),
        stack.socket_path(settings),
        stack.disk(settings),
        stack.memory(),
        *stack.patches(settings),
    ]


def _install(debian: str, fedora: str, mac: str) -> str:
    if platform.system() == "Darwin":
        return f"brew install {mac}"
    if shutil.which("dnf"):
        return f"sudo dnf install {fedora}"
    backports = " -t bookworm-backports" if debian.startswith("valkey") and _debian_12() else ""
    return f"sudo apt-get install{backports} {debian}"


def _debian_12() -> bool:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm"
    except OSError:
        return False


def _version(command: list[str]) -> tuple[tuple[int, int], str] | None:
    """(major, minor) and the first line that a program says of itself; None where it cannot be run."""
    try:
        # Its own warnings stay on stderr (process-compose logs there where it has no configuration folder).
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    line = next(iter(done.stdout.strip().splitlines()), "")
    numbers = re.search(r"(\d+)\.(\d+)", line)
    return ((int(numbers[1]), int(numbers[2])) if numbers else (0, 0)), line


def _program(name: str, command: list[str], oldest: tuple[int, int], remedy: str, needed: bool = True) -> Finding:
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
        return Finding(name, False, f"{path} is {shown}; {'.'.join(map(str, oldest))} or newer is needed ({line})", remedy)
    return Finding(name, True, f"{shown} ({path})")


def _python() -> Finding:
    shown = f"{platform.python_version()} ({sys.executable})"
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", ok, shown, "" if ok else "Airflow 3.3 runs on Python 3.11 to 3.13: " + SET_UP)


def _postgres_user() -> Finding:
    """PostgreSQL refuses to run as root; root needs somebody else to be, and a way to become it."""
    name = "user for PostgreSQL"
    if os.geteuid() != 0:
        return Finding(name, True, f"{pwd.getpwuid(os.geteuid()).pw_name}, an ordinary user")
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        return Finding(name, False, "this is root, which PostgreSQL refuses, and there is no user postgres", "useradd --system postgres")
    if shutil.which("setpriv") is None:
        return Finding(name, False, "this is root, and setpriv is not there to become postgres", "apt-get install util-linux")
    return Finding(name, True, f"postgres (uid {user.pw_uid}), since this is root")


def _process_compose() -> Finding:
    from windtunnel.stack.launcher import OLDEST, real_binary

    try:
        path = real_binary()
    except WindtunnelError as error:
        return Finding("process-compose", False, str(error), "unset WINDTUNNEL_PROCESS_COMPOSE; ./dev windtunnel doctor")
    return _program("process-compose", [path, "version", "--short"], OLDEST, SET_UP)
