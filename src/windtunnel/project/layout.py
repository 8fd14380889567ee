"""The folders of a project: DAGs, plugins, include, and the import path that they make."""

from __future__ import annotations

import os
from dataclasses import dataclass

from windtunnel.project.claims import PYPROJECT
from windtunnel.project.folder import Folder

#: Folders of tools and of environments; none of them is a part of the project.
FOREIGN = frozenset({"node_modules", "venv", "env", "site-packages", "build", "dist", "tests"})
#: The folders of code of the import path, which come before the installed packages.
CODE = (".", "src")
#: Levels below the root, and folders of one level, that are searched for `dags`.
DEEPEST = 3
MOST_FOLDERS = 300
#: Bytes of a file that are searched for a DAG.
BEGINNING = 256 * 1024
#: The number of Python files at the root that are searched for a DAG.
MOST_FILES = 100


@dataclass(frozen=True)
class Layout:
    """Paths relative to the root, which is `.`."""

    dag_folders: list[str]
    plugins: str | None
    include: str | None
    #: The folders in front of Python's own, as Airflow has them, and the root for `include`.
    import_path: list[str]
    working_folder: str = "."


def find(folder: Folder) -> Layout:
    """The folders that are there."""
    dags = dag_folders(folder)
    plugins = _first(folder, "plugins", "airflow/plugins")
    config = _first(folder, "config", "airflow/config")
    # A package of the project itself; it is not installed.
    source = "src" if folder.has_file(PYPROJECT) and folder.has_folder("src") else None
    ours = [path for path in (source, *dags, config, plugins) if path is not None]
    return Layout(
        dag_folders=dags,
        plugins=plugins,
        include=_first(folder, "include", "airflow/include"),
        import_path=list(dict.fromkeys([".", *ours])),
    )


def dag_folders(folder: Folder) -> list[str]:
    """Every folder called `dags`, at most DEEPEST levels down, or the root if it has DAG files."""
    found = ["dags"] if folder.has_folder("dags") else []
    level = ["."]
    for _ in range(DEEPEST - 1):
        level = [inner for outer in level for inner in _subfolders(folder, outer)][:MOST_FOLDERS]
        named = [f"{name}/dags" for name in level]
        # Quiet: most folders hold none.
        named = [name for name in named if os.path.isdir(folder.root / name)]  # noqa: PTH112
        found += [name for name in named if folder.has_folder(name)]
    if not found and _holds_dags(folder):
        found = ["."]
    if not found:
        fault = f"no DAG folder: no folder called dags/ (up to {DEEPEST} levels down), no DAG file"
        folder.remark(".", fault, "make dags/, or name the project's folder with --project")
    return found


def _subfolders(folder: Folder, outer: str) -> list[str]:
    """The folders in which a project may keep its parts; not `dags` itself."""
    names = [name for name in folder.entries(outer) if name not in FOREIGN and name[0] != "."]
    paths = [name if outer == "." else f"{outer}/{name}" for name in names if name != "dags"]
    return [path for path in paths if os.path.isdir(folder.root / path)]  # noqa: PTH112


def _holds_dags(folder: Folder) -> bool:
    """Whether a Python file of the root may hold a DAG, by Airflow's own rule.

    Airflow skips a file without both words (`might_contain_dag_via_default_heuristic`).
    """
    files = [name for name in folder.entries() if name.endswith(".py")]
    for name in files[:MOST_FILES]:
        text = (folder.read(name, BEGINNING) or "").lower()
        if "dag" in text and "airflow" in text:
            return True
    return False


def _first(folder: Folder, *names: str) -> str | None:
    return next((name for name in names if folder.has_folder(name)), None)
