"""Writes the record of a project from what the survey found; `windtunnel up` does it."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

from windtunnel.project import airflow_files, record, variables
from windtunnel.project.folder import Folder, clean, listed
from windtunnel.project.layout import CODE
from windtunnel.project.record import Record
from windtunnel.project.survey import Project
from windtunnel.services import state_folder
from windtunnel.settings import PROJECT_PROCESSES, Settings
from windtunnel.stack.say import say


def write(project: Project, settings: Settings) -> None:
    """The record for Airflow's processes, which run on this interpreter."""
    written = make(project, sys.executable)
    state_folder.write_private(settings.state / record.NAME, written.text())


def make(project: Project, python: str) -> Record:
    """The record of a project with this interpreter; nothing is written."""
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
    # Those that are not there may come.
    names += [variables.NAME, *airflow_files.SETTINGS, PROJECT_PROCESSES]
    first, last = _import_path(project, python)
    return Record(
        root=str(project.root),
        python=python,
        variables=taken,
        import_path=[str(path) for path in first],
        import_last=[str(path) for path in last],
        python_path=[str(path) for path in first if not record.shadows(path)],
        objects=[each.file for each in project.objects],
        files={name: record.digest(project.root / name) for name in names},
    )


def _import_path(project: Project, python: str) -> tuple[list[Path], list[Path]]:
    """The folders before and behind the installed packages."""
    # Many a package brings its tests along, and nobody imports them.
    installed = record.modules(_packages_of(python)) - {"tests", "docs", "examples"}
    first: list[Path] = []
    last: list[Path] = []
    for name in project.layout.import_path:
        folder = project.root / name
        both = installed & record.modules(folder) if name in CODE else set()
        if both:
            fault = f"{listed(sorted(both))} is an installed package too, which counts"
            say(f"{name}: {fault}: give yours another name to import it")
        (first if name in CODE and not both else last).append(folder)
    return first, last


def _packages_of(python: str) -> Path:
    """The folder of the packages that are installed for an interpreter."""
    if python == sys.executable:
        return Path(sysconfig.get_path("purelib"))
    prefix = Path(python).parents[1]
    return next(prefix.glob("lib/python3*/site-packages"), prefix)


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
