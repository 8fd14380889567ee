"""What a benchmark needs of the machine: programs, and no other stack that is at work."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.settings import is_running, load
from windtunnel.stack.real_binary import real_binary

PROGRAMS = ("airflow", "postgres", "initdb", "valkey-server", "process-compose")


def prepare_environment() -> None:
    """Find this environment's programs even where it was not activated.

    process-compose leaves no log of its version.
    """
    os.environ.setdefault("PC_LOG_FILE", os.devnull)
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", "")


def require_programs() -> None:
    """Raises `WindtunnelError` that names what is missing."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise WindtunnelError(
            f"{', '.join(missing)} not on PATH: run this through ./dev or `nix develop`, "
            "or see `windtunnel doctor`",
        )
    real_binary()


def own_stack() -> Path | None:
    """The state folder of the caller's own running stack, which affects every figure."""
    try:
        state = load(client=False).state
    except WindtunnelError:
        return None
    return state if is_running(state) else None


def launcher() -> str:
    """Our `process-compose`, also where another of that name comes first on PATH."""
    beside = Path(sys.executable).with_name("process-compose")
    return str(beside) if beside.is_file() else "process-compose"
