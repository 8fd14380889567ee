"""The whole of a project: each module's findings, put together."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windtunnel.errors import UsageError
from windtunnel.project import (
    airflow_files,
    compose,
    dockerfile,
    image_packages,
    images,
    layout,
    packages,
    system_packages,
    variables,
    versions,
)
from windtunnel.project.airflow_files import Objects, Options
from windtunnel.project.claims import Claim, Packages
from windtunnel.project.compose import Compose
from windtunnel.project.folder import Folder, Remark
from windtunnel.project.layout import Layout
from windtunnel.settings import PROJECT_STATE, named_state


@dataclass(frozen=True)
class Project:
    """A project's folder. Paths are relative to `root`."""

    root: Path
    #: None where this user may not write.
    state_folder: str | None
    layout: Layout
    packages: Packages
    airflow: Claim
    python: Claim
    variables: list[str]
    options: Options | None
    local_settings: str | None
    objects: list[Objects]
    #: Packages of the base image that the project's files import.
    image_packages: list[str]
    system_packages: list[str]
    compose: list[Compose]
    remarks: list[Remark]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints (docs/reference/cli.md)."""
        return {
            "version": 1,
            "project": str(self.root),
            "state_folder": self.state_folder,
            **asdict(self.layout),
            "airflow": {**asdict(self.airflow), "version": versions.exact(self.airflow)},
            "python": {**asdict(self.python), "version": versions.pinned(self.python)},
            "requirements": self.packages.files,
            "requirement_count": self.packages.count,
            "lock": self.packages.lock,
            "own_environment": self.packages.own_environment,
            "constraints": self.packages.constraints,
            "image_packages": self.image_packages,
            "variables": self.variables,
            "settings": self.options.shown() if self.options else None,
            "local_settings": self.local_settings,
            "objects": [asdict(each) for each in self.objects],
            "system_packages": self.system_packages,
            "compose": [asdict(each) for each in self.compose],
            "remarks": [asdict(each) for each in self.remarks],
        }


def survey(path: Path) -> Project:
    """Looks at a folder; writes nothing.

    Raises:
        UsageError: this is not a folder that can be read.
    """
    root = checked(path)
    folder = Folder(root)
    wanted = packages.find(folder)
    containers = compose.find(folder)
    builds = [dockerfile.NAME, *(each.dockerfile for each in containers if each.dockerfile)]
    named = {file: dockerfile.base_image(folder, file) for file in dict.fromkeys(builds)}
    named |= {each.file: each.image for each in containers}
    folders = layout.find(folder)
    on_airflow = any(images.judge(image).is_airflow for image in named.values() if image)
    return Project(
        root=root,
        state_folder=_state_folder(folder),
        layout=folders,
        image_packages=image_packages.find(folder, folders) if on_airflow else [],
        packages=wanted,
        airflow=versions.airflow(folder, wanted, named),
        python=versions.python(folder, wanted, named),
        variables=variables.names(folder),
        options=airflow_files.options(folder),
        local_settings=airflow_files.local_settings(folder),
        objects=airflow_files.objects(folder),
        system_packages=system_packages.names(folder),
        compose=containers,
        remarks=folder.remarks,
    )


def _state_folder(folder: Folder) -> str | None:
    """The folder that a stack of this project will write into, and nowhere else."""
    if named := named_state(os.environ):
        return named
    if os.access(folder.root, os.W_OK):
        return PROJECT_STATE
    folder.remark(".", "this folder cannot be written", "set WINDTUNNEL_STATE to another folder")
    return None


def checked(path: Path) -> Path:
    """The real path of a folder that can be read.

    Raises:
        UsageError: it is no such folder.
    """
    step = "name the folder of an Airflow project"
    try:
        root = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it cannot be followed"
        raise UsageError(f"--project: {str(path)!r}: {why}: {step}") from None
    if not root.is_dir():
        raise UsageError(f"--project: {str(path)!r} is not a folder: {step}")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UsageError(f"--project: {str(path)!r} cannot be read by this user: {step}")
    return root
