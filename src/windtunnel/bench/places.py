"""What a benchmark needs of the machine: programs, and no other stack that is at work."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from windtunnel.errors import WindtunnelError
from windtunnel.project import survey
from windtunnel.settings import find_project, is_running, load
from windtunnel.stack import programs, project_packages
from windtunnel.stack.real_binary import real_binary

PROGRAMS = ("airflow", "postgres", "initdb", "valkey-server", "process-compose")


def enter_project(words: list[str]) -> None:
    """Go on in the environment of the project of the current folder: its Airflow is measured.

    Args:
        words: the arguments of `windtunnel`.

    Raises:
        WindtunnelError: the environment is missing, and uv cannot make it.
    """
    root = find_project(os.environ)
    if root is None:
        return
    settings = load({**os.environ, "WINDTUNNEL_PROJECT": str(root)}, client=False)
    python = project_packages.interpreter(survey.survey(root), settings)
    programs.change_to(python, words, "windtunnel")


def prepare_environment() -> None:
    """Find the programs also where `./dev` was not used.

    process-compose leaves no log of its version.
    """
    os.environ.setdefault("PC_LOG_FILE", os.devnull)
    programs.bring()


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
