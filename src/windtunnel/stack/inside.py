"""The variables of a stack for a program that a person runs beside it: a shell, Airflow's commands.

Standard library only: `./dev` loads this before every command.
"""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.project import record
from windtunnel.settings import Settings
from windtunnel.variables import proxies

#: A shell hands these on, and `./dev` of another checkout must not take them for the person's.
DERIVED = ("WINDTUNNEL_STATE", "WINDTUNNEL_PROJECT", "DAGS_FOLDER", "PORT_OFFSET")


def mark(name: str) -> str:
    """The variable with the value that a shell of ours derived for this one (nix/hooks.nix)."""
    return f"WINDTUNNEL_SHELL_{name.removeprefix('WINDTUNNEL_')}"


def variables(settings: Settings) -> dict[str, str]:
    """Those of the stack; in a project also its own, and its environment first on PATH.

    Of those that no person named, the marks too.
    """
    found = _of_the_stack(settings)
    derived = [name for name in DERIVED if name in found and not os.environ.get(name)]
    return {mark(name): found[name] for name in derived} | found


def _of_the_stack(settings: Settings) -> dict[str, str]:
    found = settings.environment()
    project = record.read(settings.state) if settings.project else None
    if project is None:
        return found
    found = record.variables(project, os.environ) | found
    found |= proxies.bypassed(os.environ, project.variables)
    folder = str(Path(project.python).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    found["PATH"] = os.pathsep.join([folder, *(part for part in path if part != folder)])
    found["VIRTUAL_ENV"] = str(Path(folder).parent)
    if project.python_path:
        found["PYTHONPATH"] = os.pathsep.join(project.python_path)
    return found
