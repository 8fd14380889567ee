"""Which Airflow and which Python a project wants: the strongest claim, and claims that contradict.

The order: uv.lock, requirements.txt, pyproject.toml, constraints.txt, the Dockerfile's base image,
the compose file's image, and at last our own versions.
"""

from __future__ import annotations

import platform
import re
from importlib import metadata

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from windtunnel.project import images, releases
from windtunnel.project.claims import Claim, Packages
from windtunnel.project.folder import Folder, clean
from windtunnel.project.pyproject import LOCK

OURS = "windtunnel"
PYTHON_FILE = ".python-version"
#: A claim that names one version or one series; anything else is a range.
PINNED = re.compile(r"={2,3}(\d[\w.+!-]{0,30}?)(\.\*)?")


def airflow(folder: Folder, packages: Packages, named: dict[str, str | None]) -> Claim:
    """The wanted Airflow.

    Args:
        named: file -> the image that it names, in the order of their strength.
    """
    claims = list(packages.airflow)
    for source, reference in named.items():
        if reference is None:
            continue
        image = images.judge(reference)
        if image.specifier is not None:
            claims.append(Claim(image.specifier, source))
        else:
            kind = "names no known version of Airflow" if image.is_airflow else "is not Airflow's"
            fault = f"the image {clean(reference)} {kind}"
            step = "pin apache-airflow==VERSION in requirements.txt"
            folder.remark(source, fault, step)
    ours = Claim(f"=={running()}", OURS)
    # A range says what may be; a pin of a weaker file says what is.
    chosen = next((claim for claim in claims if pinned(claim)), None)
    chosen = chosen or next(iter(claims), ours)
    _contradictions(folder, chosen, claims)
    if not runs_as_wanted(chosen):
        runs = release(chosen)
        fault = f"wants Airflow {chosen.specifier}; windtunnel runs {releases.known()}, so {runs}"
        fault += " runs instead"
        if chosen.source == LOCK:
            fault += ", and takes no version from the lock"
        step = f"try the DAGs with Airflow {runs}; production keeps its own version"
        folder.remark(chosen.source, fault, step)
    elif is_unknown(release(chosen)):
        fault = f"wants Airflow {release(chosen)}, with which this windtunnel was not tried"
        folder.remark(chosen.source, fault, "see `windtunnel status` for patches that step back")
    return chosen


def python(folder: Folder, packages: Packages, named: dict[str, str | None]) -> Claim:
    """The wanted Python; arguments as for `airflow`."""
    claims = []
    lines = (folder.read(PYTHON_FILE) or "").split()
    if lines:
        match = re.fullmatch(r"(?:cpython-?)?(3\.\d{1,2})(\.\d{1,2})?", lines[0])
        if match:
            claims.append(Claim(f"=={match[1]}.*", PYTHON_FILE))
        else:
            folder.remark(PYTHON_FILE, "names no version of Python 3", "write 3.13, for example")
    claims += packages.python
    for source, reference in named.items():
        version = images.judge(reference).python if reference else None
        if version:
            claims.append(Claim(f"=={version}.*", source))
    first = next(iter(claims), Claim(f"=={here()}.*", OURS))
    # As for Airflow: a range says what may be, an image that is in it says what is.
    allowed = _supported_python()
    exacts = [each for each in claims if pinned(each) in allowed and _agree(first, each)]
    chosen = first if pinned(first) else next(iter(exacts), first)
    _contradictions(folder, chosen, claims, "Python")
    if allowed and not any(_agree(chosen, Claim(f"=={each}.*", OURS)) for each in allowed):
        ours = f"windtunnel runs with {allowed[0]} to {allowed[-1]}"
        fault = f"wants Python {chosen.specifier}, {ours}"
        folder.remark(chosen.source, fault, f"allow Python {allowed[-1]}")
    return chosen


def release(claim: Claim) -> str:
    """The Airflow that runs.

    Ours where the claim allows it; else the newest release that it allows. For a patch that is not
    supported, such as a yanked one, the newest of its series is nearer than ours. A pin that is
    newer than all that we know counts: its patches check what they replace.
    """
    here = running()
    if _contains(claim, here):
        return here
    newer = exact(claim)
    if newer and is_unknown(newer):
        return newer
    fitting = [each for each in releases.RELEASED if _contains(claim, each)]
    series = ".".join((pinned(claim) or "").split(".")[:2])
    newest = max(fitting, key=Version, default=None) or releases.newest(series)
    return newest or here


def running() -> str:
    """The Airflow of the environment that runs this."""
    return metadata.version("apache-airflow")


def is_unknown(release: str) -> bool:
    """Whether a release is newer than each that this windtunnel was tried with."""
    return Version(release) > max(map(Version, releases.RELEASED))


def runs_as_wanted(claim: Claim) -> bool:
    """Whether the Airflow that runs is one that the claim allows."""
    return _contains(claim, release(claim))


def running_python(claim: Claim) -> str:
    """The minor version of Python that runs: this one where the claim allows it, else the newest.

    A claim that no supported Python meets has its remark; it changes nothing.
    """
    for minor in (here(), *reversed(_supported_python())):
        if any(_contains(claim, f"{minor}.{patch}") for patch in range(30)):
            return minor
    return here()


def here() -> str:
    """The minor version of the Python that runs this."""
    return ".".join(platform.python_version_tuple()[:2])


def pinned(claim: Claim) -> str | None:
    """The one version of a claim, `3.1` for a series such as `==3.1.*`; None for a range."""
    match = PINNED.fullmatch(claim.specifier.replace(" ", ""))
    return match[1] if match else None


def exact(claim: Claim) -> str | None:
    """The version of a claim that allows no other."""
    return None if claim.specifier.endswith(".*") else pinned(claim)


def _contradictions(
    folder: Folder, chosen: Claim, claims: list[Claim], what: str = "Airflow"
) -> None:
    """One remark for each claim that excludes the chosen one; both sides are named."""
    for other in claims:
        if other is chosen or _agree(chosen, other):
            continue
        fault = f"wants {what} {other.specifier}, but {chosen.source} wants {chosen.specifier}"
        folder.remark(other.source, fault, f"make them equal; {chosen.source} counts")


def _agree(one: Claim, other: Claim) -> bool:
    """Whether one version can satisfy both. Two ranges are left to the resolver."""
    for claim, against in ((one, other), (other, one)):
        version = pinned(claim)
        if version is None:
            continue
        # A series agrees with a version in it, and with a range that allows one of its releases.
        releases = [version] if exact(claim) else [f"{version}.{patch}" for patch in range(30)]
        if not any(_contains(against, release) for release in releases):
            return False
    return True


def _contains(claim: Claim, version: str) -> bool:
    try:
        return SpecifierSet(claim.specifier).contains(Version(version), prereleases=True)
    except ValueError:
        return False


def _supported_python() -> list[str]:
    """The Python versions that windtunnel itself is published for, the lowest first."""
    text = metadata.metadata("windtunnel")["Requires-Python"]
    return [f"3.{minor}" for minor in range(9, 30) if f"3.{minor}.0" in SpecifierSet(text)]
