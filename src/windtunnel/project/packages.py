"""Every file that names Python packages, the strongest first."""

from __future__ import annotations

from windtunnel.project import pyproject, requirements
from windtunnel.project.claims import Packages
from windtunnel.project.folder import Folder

REQUIREMENTS = "requirements.txt"
CONSTRAINTS = "constraints.txt"
#: Files of other tools that name packages.
OTHERS = ("Pipfile", "environment.yaml", "environment.yml", "poetry.lock", "pylock.toml")


def find(folder: Folder) -> Packages:
    """The packages of a project: the lock's claims first, then those of the other files."""
    found = Packages()
    pyproject.read_lock(folder, found)
    requirements.read(folder, found, REQUIREMENTS)
    pyproject.read(folder, found)
    if folder.has_file(CONSTRAINTS):
        requirements.read(folder, found, CONSTRAINTS, constrains=True)
    for name in OTHERS:
        if folder.has_file(name):
            folder.remark(name, "is not read", "export its packages to requirements.txt")
    return found
