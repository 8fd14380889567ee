"""What a project's files claim about packages, Airflow and Python."""

from __future__ import annotations

from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PYPROJECT = "pyproject.toml"
#: Airflow's distributions that bear Airflow's own version.
AIRFLOW = ("apache-airflow", "apache-airflow-core")
#: Characters of one requirement or specifier.
LONGEST_LINE = 2000


@dataclass(frozen=True)
class Claim:
    """A statement about a version, and the file that makes it."""

    specifier: str
    source: str


@dataclass
class Packages:
    """The files that name packages, and the claims of these files, the strongest first.

    `lines`, `limits` and `indexes` are for uv. They may hold passwords, so nothing shows them.
    """

    files: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    lock: str | None = None
    #: Whether the project's own environment brings windtunnel, so that nothing is to be resolved.
    own_environment: bool = False
    count: int = 0
    airflow: list[Claim] = field(default_factory=list)
    python: list[Claim] = field(default_factory=list)
    #: The requirements to install, without those of the lock and of development groups.
    lines: list[str] = field(default_factory=list)
    #: The lines of constraints.
    limits: list[str] = field(default_factory=list)
    #: Lines such as `--extra-index-url ADDRESS`.
    indexes: list[str] = field(default_factory=list)


def package(line: str) -> str:
    """The package's name in a requirement, in its one spelling."""
    return canonicalize_name(Requirement(line).name)


def add(
    found: Packages,
    line: str,
    source: str,
    constrains: bool = False,
    development: bool = False,
) -> bool:
    """Adds one requirement; returns whether it is one."""
    if len(line) > LONGEST_LINE:
        return False
    try:
        requirement = Requirement(line)
        # Two lines may name two versions for two versions of Python.
        applies = requirement.marker is None or requirement.marker.evaluate()
    except (ValueError, RecursionError):
        return False
    found.count += 0 if constrains else 1
    if not development:
        (found.limits if constrains else found.lines).append(line)
    name = canonicalize_name(requirement.name)
    if name == "windtunnel" and source == PYPROJECT:
        found.own_environment = True
    if applies and name in AIRFLOW and requirement.specifier:
        found.airflow.append(Claim(str(requirement.specifier), source))
    return True


def add_python(found: Packages, text: str, source: str) -> None:
    """Adds a claim about Python, when the text is a specifier."""
    if specifier(text) is not None:
        found.python.append(Claim(text, source))


def specifier(text: str) -> SpecifierSet | None:
    """The parsed text; None for a text that is no specifier."""
    if len(text) > LONGEST_LINE:
        return None
    try:
        return SpecifierSet(text)
    except ValueError:
        return None
