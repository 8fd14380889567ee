"""Makes the environment of a project in its state folder, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from windtunnel.project import environment, limits, wanted
from windtunnel.project.survey import Project
from windtunnel.project.wanted import Wanted
from windtunnel.services import state_folder
from windtunnel.settings import PROJECT_STATE, Settings
from windtunnel.stack import locks, project_changes
from windtunnel.stack.say import say


def interpreter(project: Project, settings: Settings, say: Callable[[str], None] = say) -> str:
    """The Python that the project needs, in an environment that is made where it is missing.

    Raises:
        WindtunnelError: uv cannot make it; the message has what uv said.
    """
    own = project_changes.is_own_environment(project)
    packages = None if own else wanted.find(project)
    if packages is not None and not environment.find(project, packages, settings.state):
        state_folder.folders(settings)
        with locks.project(settings):
            ignore_itself(settings)
            if not environment.find(project, packages, settings.state):
                make(project, packages, settings.state, say)
    return project_changes.interpreter(project, packages, settings)


def make(project: Project, packages: Wanted, state: Path, say: Callable[[str], None] = say) -> Path:
    """Make the environment; needs the lock.

    Raises:
        WindtunnelError: uv cannot make it; the message has what uv said.
    """
    start = time.monotonic()
    found = limits.find(packages)
    what = f"{len(packages.requirements)} requirements for Python {packages.python}"
    say(f"installing {what}, limited by {found.origin} …")
    folder = environment.make(project, packages, found, state, say)
    say(f"the project's environment is ready after {time.monotonic() - start:.0f} s")
    return folder


def ignore_itself(settings: Settings) -> None:
    """Keep git and Airflow away from the state folder."""
    # The project's folder may be the DAG folder: Airflow would read each file of the environment.
    # The first pattern is a glob, the second one is a regular expression.
    _add(settings.state / ".airflowignore", "*\n.\n")
    if settings.state.name == PROJECT_STATE:
        _add(settings.state / ".gitignore", "*\n")


def _add(file: Path, text: str) -> None:
    if not file.exists():
        state_folder.write_private(file, text)
