"""What of a project has changed since its stack was started, and which interpreter it wants."""

from __future__ import annotations

import sys
from pathlib import Path

from windtunnel.project import environment, record, survey, wanted
from windtunnel.project.survey import Project
from windtunnel.project.wanted import Wanted
from windtunnel.settings import Settings


def changed(root: Path, settings: Settings) -> str:
    """What of a project has changed since its running stack was started; empty for nothing.

    Raises:
        WindtunnelError: the project cannot be read.
    """
    project = survey.survey(root)
    packages = None if is_own_environment(project) else wanted.find(project)
    return since_start(settings, interpreter(project, packages, settings))


def is_own_environment(project: Project) -> bool:
    """Whether this process runs in an environment of the project that has windtunnel in it."""
    here = Path(sys.prefix)
    ours = here.parent.name == environment.FOLDER
    return project.packages.own_environment and here.is_relative_to(project.root) and not ours


def interpreter(project: Project, packages: Wanted | None, settings: Settings) -> str:
    """The Python that the stack needs; its environment need not be made yet."""
    if packages is None:
        return sys.executable
    return str(environment.place(project, packages, settings.state) / "bin" / "python")


def since_start(settings: Settings, python: str) -> str:
    """What of the project has changed since the running stack was started; empty for nothing."""
    known = record.read(settings.state)
    if known is None:
        return ""
    if files := record.changed(known):
        return ", ".join(files)
    # The Dockerfile may name another Airflow, and a new DAG may import another provider.
    places = {str(Path(each).parents[1]) for each in (python, known.python)}
    made = [each for each in places if environment.FOLDER in Path(each).parts]
    return "the packages that it wants" if made and len(places) > 1 else ""
