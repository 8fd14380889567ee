"""`windtunnel up`: a stack for a project's folder, with the project's own packages.

It surveys the folder, has uv make the environment where the project wants other packages, and goes
on with that environment's Python. The rest is `process-compose up`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.project import environment, record, survey, variables, wanted
from windtunnel.project.folder import Folder, clean
from windtunnel.project.record import Record
from windtunnel.project.survey import Project
from windtunnel.services import state_folder
from windtunnel.settings import PROJECT_STATE, Settings, find_project, find_root, load
from windtunnel.stack import down, launcher, up
from windtunnel.stack.say import say

#: The environment that a first `up` has made for the second, so that it makes none.
MADE = "WINDTUNNEL_PROJECT_ENVIRONMENT"


def run(folder: Path | None, arguments: list[str]) -> int:
    """Start the stack of a project; without one, that of the checkout.

    Args:
        folder: the project's folder; None for the one of the current folder.
        arguments: options for the real binary's `up`.

    Returns:
        As `up.up`.

    Raises:
        WindtunnelError: the cause and the next step.
    """
    root = _project(folder)
    if root is None:
        return launcher.launch(["up", *arguments])
    os.environ["WINDTUNNEL_PROJECT"] = str(root)
    _forget_the_checkout()
    project = survey.survey(root)
    settings = load(client=False)
    if not project.layout.dag_folders:
        raise UsageError(f"{root} has no DAG folder: make dags/, or name another one by --project")
    state_folder.folders(settings)
    _ignore_itself(settings)
    if process_compose.answers(settings):
        _require_change(load())  # Or a variable contradicts the running stack.
    python = _python(project, settings)
    if python != sys.executable:
        os.environ[MADE] = python
        sys.stderr.flush()
        os.execv(Path(python).with_name("windtunnel"), ["windtunnel", "up", *arguments])
    # A stack that runs is stopped only now: the new environment could have failed.
    if process_compose.answers(settings) and down.down(load(), now=False) != Exit.OK:
        raise WindtunnelError("the running stack could not be stopped: see `windtunnel status`")
    environment.remove_others(settings.state, Path(sys.prefix))
    _tell(project)
    _write(project, settings)
    os.environ |= _variables(project)
    return launcher.launch(["up", *arguments])


def _project(folder: Path | None) -> Path | None:
    """The project's folder; None for the checkout's own stack.

    Without a name it is the nearest one with a state folder, else the current folder.
    """
    if folder is None:
        folder = find_project(os.environ)
    here = Path.cwd() if folder is None else folder
    root = survey.checked(here)
    return None if root == find_root(os.environ) else root


def _forget_the_checkout() -> None:
    """Drop the defaults that a shell of the checkout exports: they mean another stack."""
    root = find_root(os.environ)
    defaults = {"WINDTUNNEL_STATE": root / ".state", "DAGS_FOLDER": root / "dags"}
    for name, default in defaults.items():
        if os.environ.get(name) == str(default):
            del os.environ[name]


def _ignore_itself(settings: Settings) -> None:
    if settings.state.name == PROJECT_STATE:
        file = settings.state / ".gitignore"
        if not file.exists():
            file.write_text("*\n")


def _python(project: Project, settings: Settings) -> str:
    """The interpreter that the stack needs, in an environment that is made where it is missing."""
    if os.environ.get(MADE) or _is_own_environment(project):
        return sys.executable
    packages = wanted.find(project)
    if packages is None:
        return sys.executable
    folder = environment.find(project, packages, settings.state)
    if folder is None:
        start = time.monotonic()
        count = len(packages.requirements)
        limits = f"limited by {packages.limited_by}"
        say(f"installing {count} requirements for Python {packages.python}, {limits} …")
        folder = environment.make(project, packages, settings.state, say)
        say(f"the project's environment is ready after {time.monotonic() - start:.0f} s")
    return str(folder / "bin" / "python")


def _is_own_environment(project: Project) -> bool:
    """Whether this process runs in an environment of the project that has windtunnel in it."""
    return project.packages.own_environment and Path(sys.prefix).is_relative_to(project.root)


def _tell(project: Project) -> None:
    """One line about the project, and one for each thing that is not used as it is."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:2]))
    folders = ", ".join(project.layout.dag_folders)
    say(f"{project.root}: Airflow {version('apache-airflow')}, Python {python}, DAGs in {folders}")
    for remark in project.remarks:
        say(f"{remark.path}: {remark.fault}: {remark.step}")


def _write(project: Project, settings: Settings) -> None:
    """The record for Airflow's processes."""
    folder = Folder(project.root)
    taken = dict(project.options.variables) if project.options else {}
    taken |= variables.values(folder, project.variables)
    taken |= _bundles(project)
    if project.layout.plugins:
        taken.setdefault(
            "AIRFLOW__CORE__PLUGINS_FOLDER", str(project.root / project.layout.plugins)
        )
    names = [*project.packages.files, *project.packages.constraints]
    names += [name for name in (project.packages.lock,) if name]
    import_path = [project.root / path for path in project.layout.import_path]
    written = Record(
        root=str(project.root),
        python=sys.executable,
        variables=taken,
        import_path=[str(path) for path in import_path],
        python_path=[str(path) for path in import_path if not record.shadows(path)],
        objects=[each.file for each in project.objects],
        files={name: record.digest(project.root / name) for name in names},
    )
    state_folder.write_private(settings.state / record.NAME, written.text())


def _bundles(project: Project) -> dict[str, str]:
    """Airflow's list of DAG bundles, where there are several folders."""
    folders = project.layout.dag_folders
    if len(folders) < 2:
        return {}
    bundles = [
        {
            "name": clean(folder),
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(project.root / folder)},
        }
        for folder in folders
    ]
    return {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles)}


def _variables(project: Project) -> dict[str, str]:
    """The stack's own variables that the project decides, where nobody has set them."""
    first = str(project.root / project.layout.dag_folders[0])
    return {"DAGS_FOLDER": os.environ.get("DAGS_FOLDER") or first}


def _require_change(settings: Settings) -> None:
    """Say that the running stack will be replaced, since files of the project have changed.

    Raises:
        WindtunnelError: nothing has changed.
    """
    known = record.read(settings.state)
    files = record.changed(known) if known else []
    if not files and MADE not in os.environ:
        raise up.running_already(settings)
    if files:
        say(f"{', '.join(files)} changed: the tasks in hand finish, then the stack starts anew")
