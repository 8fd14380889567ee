"""A stack that outlives its session: what it was started with, and who uses it now."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from windtunnel.errors import WindtunnelError
from windtunnel.services import state_folder

#: The file with the variables that a stack was started with. They may hold secrets.
VARIABLES = "variables.json"
#: Every process that uses a reused stack holds a lock of this file.
USERS = "users.lock"


def variables_differ(state: Path, variables: Mapping[str, str]) -> bool:
    """Whether a stack was started with other variables."""
    try:
        return (state.parent / VARIABLES).read_text() != _text(variables)
    except OSError:
        return True


def note_variables(state: Path, variables: Mapping[str, str]) -> None:
    """Remember what a stack was started with."""
    state_folder.write_private(state.parent / VARIABLES, _text(variables))


def _text(variables: Mapping[str, str]) -> str:
    return json.dumps(dict(variables), sort_keys=True)


def use(state: Path) -> IO[str]:
    """The stack is in use until the file is closed, or this process ends."""
    file = open(state.parent / USERS, "w+")  # noqa: SIM115
    # Not by `flock`, which a process that a test forks would go on holding.
    fcntl.lockf(file, fcntl.LOCK_SH)
    return file


def is_used(state: Path) -> bool:
    """Whether another process uses the stack."""
    with open(state.parent / USERS, "w+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def require_unused(state: Path) -> None:
    """Raises `WindtunnelError` where another session would lose its stack."""
    if is_used(state):
        fault = "the stack has to be started anew for changes of the project or of its variables"
        step = "wait for its end, or use --windtunnel=private"
        raise WindtunnelError(f"{fault}, and another session uses it: {step}")
