"""The packages that a project's environment is made from: its own, and those that the stack needs.

Nothing is resolved or installed here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from windtunnel.errors import WindtunnelError
from windtunnel.project import ourselves, versions
from windtunnel.project.claims import AIRFLOW, PYPROJECT, package
from windtunnel.project.pyproject import LOCK
from windtunnel.project.survey import Project
from windtunnel.system import locked_versions

#: Airflow's distributions that a project may pin beside Airflow itself.
OF_AIRFLOW = (*AIRFLOW, "apache-airflow-task-sdk")
#: It comes with Airflow's extra `celery`.
PROVIDER = "apache-airflow-providers-celery"
#: Requirements for these are replaced by what this windtunnel runs.
OURS = (*OF_AIRFLOW, "windtunnel")


@dataclass(frozen=True)
class Wanted:
    """What uv gets. The lines are in the format of requirements.txt."""

    #: Of Airflow.
    release: str
    requirements: list[str]
    constraints: list[str]
    indexes: list[str]
    #: Whether uv.lock of the project has the versions.
    locked: bool
    python: str
    #: Packages whose version is the project's own affair; no limit is put on them.
    decided: list[str]

    def pinned(self) -> list[str]:
        """The packages of which a requirement names the version."""
        return sorted({package(each) for each in self.requirements if Requirement(each).specifier})

    def digest(self, root: Path) -> str:
        """Changes whenever the environment has to be made anew."""
        parts = [json.dumps(asdict(self), sort_keys=True), ourselves.identity()]
        if self.locked:
            parts.append((root / LOCK).read_text())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def find(project: Project) -> Wanted | None:
    """The packages of a project's environment; None where this one will do as it is.

    Raises:
        WindtunnelError: the project pins a version that cannot work with windtunnel.
    """
    python = versions.running_python(project.python)
    release = versions.release(project.airflow)
    lines = [line for line in project.packages.lines if package(line) not in OURS]
    extras = _extras(project.packages.lines, python)
    named = {package(line) for line in lines}
    lines += [line for line in _of_image(project) if package(line) not in named]
    locked = project.packages.lock is not None and (project.root / PYPROJECT).is_file()
    # The lock of an Airflow that does not run excludes the one that does.
    locked = locked and (project.airflow.source != LOCK or versions.runs_as_wanted(project.airflow))
    as_here = (release, python) == (versions.running(), versions.here()) and extras == {"celery"}
    if as_here and not lines and not locked:
        return None
    needed = _needed()
    _check(project, [line for line in lines if _applies(line, python)], needed)
    # A constraint for one of ours would contradict what runs.
    constraints = [line for line in project.packages.limits if package(line) not in OURS]
    return Wanted(
        release=release,
        requirements=[*lines, *_airflow(release, extras), *needed],
        constraints=constraints,
        indexes=project.packages.indexes,
        locked=locked,
        python=python,
        decided=sorted({*OURS, *(package(line) for line in (*lines, *constraints))}),
    )


def _airflow(release: str, extras: set[str]) -> list[str]:
    """The requirements that mean one release of Airflow."""
    lines = [f"apache-airflow[{','.join(sorted(extras))}]=={release}"]
    if Version(release).is_prerelease:
        # uv takes a pre-release only of a package that is named with one.
        lines += [f"apache-airflow-core=={release}", "apache-airflow-task-sdk>=1.0.0a0"]
    return lines


def _extras(lines: list[str], python: str) -> set[str]:
    """The extras of Airflow that the project names: they stand for its providers."""
    found = {"celery"}
    for line in lines:
        if package(line) in OF_AIRFLOW and _applies(line, python):
            found |= Requirement(line).extras
    return found


def _applies(line: str, python: str) -> bool:
    """Whether a requirement counts on this machine for a minor version of Python."""
    marker = Requirement(line).marker
    version = {"python_version": python, "python_full_version": f"{python}.0"}
    return marker is None or marker.evaluate(version)


def _needed() -> list[str]:
    """Windtunnel's own requirements, without its version of Airflow and what the extra brings."""
    lines = metadata.requires("windtunnel") or []
    return [line for line in lines if package(line) not in (*OF_AIRFLOW, PROVIDER)]


def _check(project: Project, lines: list[str], needed: list[str]) -> None:
    """One clear line for a pin that excludes ours. The resolver finds all other conflicts.

    Raises:
        WindtunnelError: names both sides.
    """
    ours = {package(line): Requirement(line).specifier for line in needed}
    for line in lines:
        wanted = Requirement(line)
        name = package(line)
        for specifier in wanted.specifier:
            exact = specifier.operator in ("==", "===") and not specifier.version.endswith(".*")
            if exact and name in ours and not ours[name].contains(specifier.version, True):
                raise WindtunnelError(
                    f"{project.root / 'requirements.txt'} or pyproject.toml wants {name}"
                    f"{wanted.specifier}, windtunnel needs {name}{ours[name]}: allow a version "
                    "that fits both; your production may keep its own"
                )


def _of_image(project: Project) -> list[str]:
    """The image's packages, without those that Airflow or windtunnel brings anyway."""
    if not project.image_packages:
        return []
    lock = locked_versions.text()
    return [line for line in project.image_packages if f'name = "{package(line)}"' not in lock]
