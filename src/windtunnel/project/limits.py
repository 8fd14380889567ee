"""The versions that a project's environment may take where the project itself names none.

They are looked up when an environment is made. So an environment that was made without a network
stays the same when there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.project import own_lock, published, releases
from windtunnel.project.claims import package
from windtunnel.project.pyproject import LOCK
from windtunnel.project.wanted import Wanted


@dataclass(frozen=True)
class Limits:
    #: For people.
    origin: str
    #: The constraints of the project, then those of the origin.
    constraints: list[str]
    #: For uv's `--exclude-newer`; None for no such limit.
    until: str | None = None
    #: Packages for which that limit does not hold: a requirement names their versions.
    newer: list[str] = field(default_factory=list)


def find(wanted: Wanted) -> Limits:
    """The project's lock, Airflow's published constraints, our lock, or the release's time."""
    if wanted.locked:
        return Limits(LOCK, wanted.constraints)
    lines, origin = published.constraints(wanted.release, wanted.python)
    if not lines:
        tested = own_lock.versions(wanted.release, wanted.python)
        lines = [f"{name}=={version}" for name, version in sorted(tested.items())]
        origin = "windtunnel's own lock"
    if lines:
        # A version that the project names itself counts; the resolver says whether it fits.
        free = [line for line in lines if package(line) not in wanted.decided]
        return Limits(origin, [*wanted.constraints, *free])
    until = releases.packages_until(wanted.release)
    if until is None:
        return Limits("nothing", wanted.constraints)
    origin = f"the packages of Airflow {wanted.release}'s release"
    return Limits(origin, wanted.constraints, until, wanted.pinned())
