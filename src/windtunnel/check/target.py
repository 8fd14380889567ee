"""What is checked: a project's folder or the checkout, its interpreter and its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from windtunnel.check import declared
from windtunnel.check.declared import Declared
from windtunnel.errors import UsageError
from windtunnel.project import survey
from windtunnel.project.record import Record
from windtunnel.settings import Settings, find_project, find_root, load
from windtunnel.stack import project_packages, project_record

#: Airflow wants each of these, and none is used: nothing is connected to.
UNUSED = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
    "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:1/0",
    "AIRFLOW__CELERY__RESULT_BACKEND": "db+postgresql://nobody@127.0.0.1:1/none",
    "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": "nobody:none",
    "AIRFLOW__CORE__FERNET_KEY": "",
    "AIRFLOW__API__SECRET_KEY": "none",
    "AIRFLOW__API_AUTH__JWT_SECRET": "none",
    # Without it Airflow keeps no exception.
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "True",
    # Empty is unset: without cached bytecode Airflow starts two to three times slower.
    "PYTHONDONTWRITEBYTECODE": "",
}


@dataclass(frozen=True)
class Target:
    """Paths are absolute."""

    root: Path
    folders: list[Path]
    python: str
    #: What Airflow's processes take from the project; None in the checkout.
    record: Record | None
    declared: Declared
    settings: Settings
    #: The caller's variables, without those that mean another stack.
    env: dict[str, str]

    def environment(self, state: Path) -> dict[str, str]:
        """The variables of the process that parses.

        Args:
            state: a folder that takes the place of the state folder.
        """
        folder = str(Path(self.python).parent)
        path = self.env.get("PATH", "").split(os.pathsep)
        return {
            **self.env,
            **self.settings.environment(),
            **UNUSED,
            "WINDTUNNEL_STATE": str(state),
            "VIRTUAL_ENV": str(Path(folder).parent),
            "PATH": os.pathsep.join([folder, *(part for part in path if part != folder)]),
        }


def find(folder: Path | None, say: Callable[[str], None], state: Path | None = None) -> Target:
    """The target of a folder; its environment is made where it is missing.

    Args:
        folder: the project's folder; None for the one of the current folder.
        state: where its environment is made; its state folder by default.

    Raises:
        WindtunnelError: there is no such folder, or uv cannot make the environment.
    """
    root = _root(folder)
    if root is None:
        return _checkout()
    env = _environment(root)
    if state is not None:
        env["WINDTUNNEL_STATE"] = str(state)
    settings = load(env, client=False)
    project = survey.survey(root)
    chosen = env.get("DAGS_FOLDER")
    folders = [settings.dags] if chosen else [root / each for each in project.layout.dag_folders]
    python = project_packages.interpreter(project, settings, say)
    record = project_record.make(project, python)
    return Target(
        root=root,
        folders=folders,
        python=python,
        record=record,
        declared=declared.find(project, record, settings),
        settings=settings,
        env={**env, "DAGS_FOLDER": str(folders[0])} if folders else env,
    )


def _root(folder: Path | None) -> Path | None:
    """The project's folder; None for the checkout's own DAGs."""
    checkout = find_root(os.environ)
    if folder is None:
        folder = find_project(os.environ)
        here = Path.cwd()
        if folder is None and here.is_relative_to(checkout):
            return None
        folder = folder or here
    root = survey.checked(folder)
    return None if root == checkout else root


def _checkout() -> Target:
    env = {name: text for name, text in os.environ.items() if name != "WINDTUNNEL_PROJECT"}
    settings = load(env, client=False)
    return Target(
        root=settings.root,
        folders=[settings.dags],
        python=sys.executable,
        record=None,
        declared=declared.find(None, None, settings),
        settings=settings,
        env=env,
    )


def _environment(root: Path) -> dict[str, str]:
    """The caller's variables, as `up` of this project would have them."""
    env = {**os.environ, "WINDTUNNEL_PROJECT": str(root)}
    checkout = find_root(os.environ)
    defaults = {"WINDTUNNEL_STATE": checkout / ".state", "DAGS_FOLDER": checkout / "dags"}
    other = os.environ.get("WINDTUNNEL_PROJECT")
    is_other = bool(other) and Path(str(other)).resolve() != root
    for name, default in defaults.items():
        if is_other or env.get(name) == str(default):
            env.pop(name, None)
    return env


def named(target: Target, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files and the folders among paths that a person names.

    Raises:
        UsageError: one of them is not there, or is no file that can hold DAGs.
    """
    files: list[Path] = []
    folders: list[Path] = []
    for path in paths:
        if path.is_dir():
            folders.append(_absolute(target, path))
        else:
            files.append(file(target, path))
    return files, folders


def file(target: Target, path: Path) -> Path:
    """One DAG file, as an absolute path.

    Raises:
        UsageError: it is not there, or it is no file that can hold DAGs.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not there: name DAG files, or folders of DAG files")
    if path.suffix not in (".py", ".zip"):
        raise UsageError(f"{path} is neither Python nor a zip file: name DAG files")
    return _absolute(target, path)


def _absolute(target: Target, path: Path) -> Path:
    """Without symlinks where that lies in the project: so its own code is recognized as such."""
    real = path.resolve()
    return real if real.is_relative_to(target.root) else path.absolute()
