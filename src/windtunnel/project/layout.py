"""The folders of a project: DAGs, plugins, include, and the import path that they make."""

from __future__ import annotations

import os
from dataclasses import dataclass

from windtunnel.project.folder import Folder

#: Folders of tools and of environments; none of them is a part of the project.
FOREIGN = frozenset({"node_modules", "venv", "env", "site-packages", "build", "dist", "tests"})
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
    ours = [path for path in (*dags, config, plugins) if path is not None]
    return Layout(
        dag_folders=dags,
        plugins=plugins,
        include=_first(folder, "include", "airflow/include"),
        import_path=list(dict.fromkeys([".", *ours])),
    )


def dag_folders(folder: Folder) -> list[str]:
    """`dags`, every `NAME/dags`, or the root when its own files hold DAGs."""
    found = ["dags"] if folder.has_folder("dags") else []
    for name in folder.entries():
        skipped = name.startswith(".") or name in FOREIGN or name == "dags"
        # Quiet: most entries of a root are of no interest here.
        if not skipped and os.path.isdir(folder.root / name / "dags"):  # noqa: PTH112
            found += [f"{name}/dags"] if folder.has_folder(f"{name}/dags") else []
    if not found and _holds_dags(folder):
        found = ["."]
    if not found:
        fault = "no DAG folder: neither dags/ nor NAME/dags/ nor a DAG file is here"
        folder.remark(".", fault, "make dags/, or name the project's folder with --project")
    return found


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
