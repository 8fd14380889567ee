"""`windtunnel up`: a stack for a project's folder, with the project's own packages.

It surveys the folder, has uv make the environment where the project wants other packages, and goes
on with that environment's Python. The rest is `process-compose up`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.project import environment, survey, versions, wanted
from windtunnel.project.survey import Project
from windtunnel.services import state_folder
from windtunnel.settings import Settings, find_project, find_root, load
from windtunnel.stack import (
    command_line,
    down,
    launcher,
    locks,
    object_changes,
    programs,
    project_changes,
    project_packages,
    project_record,
    up,
)
from windtunnel.stack.real_binary import real_binary
from windtunnel.stack.say import say

#: The environment that a first `up` has made for the second, so that it makes none.
MADE = "WINDTUNNEL_PROJECT_ENVIRONMENT"


def run(folder: Path | None, arguments: list[str]) -> int:
    """Start the stack of a project; without one, that of the checkout.

    Args:
        folder: the project's folder; None for the one of the current folder.
        arguments: options for the real binary's `up`.

    Returns:
        As `launcher.launch`.

    Raises:
        WindtunnelError: the cause and the next step.
    """
    root = _project(folder)
    if root is None:
        return launcher.launch(["up", *arguments])
    _refuse_another_airflow()
    known = os.environ.get("WINDTUNNEL_PROJECT")
    if known and Path(known).resolve() != root:
        step = "leave it with `exit`, or unset WINDTUNNEL_PROJECT"
        raise UsageError(f"this shell belongs to the stack of {known}, not to {root}: {step}")
    os.environ["WINDTUNNEL_PROJECT"] = str(root)
    _forget_the_checkout()
    project = survey.survey(root)
    settings = load(client=False)
    up.require_paths(settings)
    if not project.layout.dag_folders:
        raise UsageError(f"{root} has no DAG folder: make dags/, or name another one by --project")
    _require_packages(project, settings)
    state_folder.folders(settings)
    # Of two at once the second waits. It must not empty the environment that the first one makes,
    # and not stop the stack that the first one starts.
    with locks.project(settings) as lock:
        project_packages.ignore_itself(settings)
        return _start(project, settings, arguments, lock)


def _start(project: Project, settings: Settings, arguments: list[str], lock: IO[str]) -> int:
    made = os.environ.pop(MADE, None)
    runs = process_compose.answers(settings)
    if runs:
        load()  # A variable that contradicts the running stack is the mistake to name.
    if made is None:
        python = _python(project, settings, runs)
        if python != sys.executable:
            os.environ[MADE] = python
            sys.stderr.flush()
            # A `reset` or another `up` between both would delete the environment.
            locks.keep(lock)
            os.execv(Path(python).with_name("windtunnel"), ["windtunnel", "up", *arguments])
    if runs and not project_changes.since_start(settings, sys.executable):
        if object_changes.bring(project, load()):
            return Exit.OK
        raise up.running_already(settings)
    os.environ |= _variables(project)
    if runs:
        _require_success(arguments)
        # A stack that runs is stopped only now: the new environment could have failed.
        if down.down(load(), now=False) != Exit.OK:
            raise WindtunnelError("the running stack was not stopped: see `windtunnel status`")
    environment.remove_others(settings.state, Path(sys.prefix))
    _tell(project)
    project_record.write(project, settings)
    return launcher.launch(["up", *arguments])


def _refuse_another_airflow() -> None:
    """Raises `UsageError` for AIRFLOW: without it the next `up` would migrate to another one."""
    if series := os.environ.get("WINDTUNNEL_SERIES"):
        release = versions.running()
        fault = f"AIRFLOW={series} is for windtunnel's own checkout; a project has what it pins"
        step = f"write apache-airflow=={release} into requirements.txt, and unset AIRFLOW"
        raise UsageError(f"{fault}: {step}")


def _require_success(arguments: list[str]) -> None:
    """Ask all that could refuse the new stack before the running one is stopped.

    Raises:
        WindtunnelError: for example, `windtunnel.yaml` is damaged.
    """
    settings = load(client=False)
    up.require_dags(settings)
    programs.bring()
    env = os.environ | settings.environment()
    command_line.check(real_binary(), ["up", *arguments], starts=True, env=env)


def _project(folder: Path | None) -> Path | None:
    """The project's folder; None for the checkout's own stack.

    Without a name it is the nearest one with a state folder, else the current folder.
    """
    if folder is None:
        folder = find_project(os.environ)
    here = Path.cwd() if folder is None else folder
    root = survey.checked(here)
    return None if root == find_root(os.environ) else root


def _require_packages(project: Project, settings: Settings) -> None:
    """Raises `UsageError`, before anything is written, where nobody can install the packages."""
    if project_changes.is_own_environment(project):
        return
    packages = wanted.find(project)
    if packages and not environment.find(project, packages, settings.state):
        environment.require_installer()


def _forget_the_checkout() -> None:
    """Drop the defaults that a shell or a command of Nix exports: they mean another stack."""
    root = find_root(os.environ)
    defaults = {"WINDTUNNEL_STATE": root / ".state", "DAGS_FOLDER": root / "dags"}
    for name, default in defaults.items():
        derived = os.environ.pop(f"WINDTUNNEL_SHELL_{name.removeprefix('WINDTUNNEL_')}", "")
        if os.environ.get(name) in (derived, str(default)):
            del os.environ[name]


def _python(project: Project, settings: Settings, runs: bool) -> str:
    """The interpreter that the stack needs, in an environment that is made where it is missing."""
    packages = None if project_changes.is_own_environment(project) else wanted.find(project)
    python = project_changes.interpreter(project, packages, settings)
    if runs:
        changes = project_changes.since_start(settings, python)
        if changes:
            say(f"{changes} changed: the tasks in hand finish, then the stack starts anew")
    if packages is None or environment.find(project, packages, settings.state):
        return python
    project_packages.make(project, packages, settings.state)
    # It took a while: a person may have written another requirement meanwhile.
    return _python(survey.survey(project.root), settings, runs=False)


def _tell(project: Project) -> None:
    """One line about the project, and one for each thing that is not used as it is."""
    folders = ", ".join(project.layout.dag_folders)
    runs = f"Airflow {versions.running()}, Python {versions.here()}"
    say(f"{project.root}: {runs}, DAGs in {folders}")
    for remark in project.remarks:
        say(f"{remark.path}: {remark.fault}: {remark.step}")


def _variables(project: Project) -> dict[str, str]:
    """The stack's own variables that the project decides, where nobody has set them."""
    first = str(project.root / project.layout.dag_folders[0])
    return {"DAGS_FOLDER": os.environ.get("DAGS_FOLDER") or first}
