"""The Airflow and the Python of a container image, by its name and tag alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.version import Version

#: Astronomer's runtimes up to Airflow 2: major version of the runtime -> series of Airflow. From 4
#: to 11: Astronomer's documentation, "Astro Runtime and Apache Airflow parity". 12 and 13: the
#: same rule, and the versions in the tests of Astronomer's own command line.
RUNTIMES = {
    3: "2.1",
    4: "2.2",
    5: "2.3",
    6: "2.4",
    7: "2.5",
    8: "2.6",
    9: "2.7",
    10: "2.8",
    11: "2.9",
    12: "2.10",
    13: "2.11",
}
#: From Airflow 3 on, a runtime is called SERIES-BUILD: 3.1-4 is the fourth build of Airflow 3.1.
RUNTIME_3 = re.compile(r"(3\.\d{1,3})-\d{1,4}(?:-.*)?")
RUNTIME_2 = re.compile(r"(\d{1,2})\.\d{1,3}\.\d{1,3}(?:-.*)?")
PYTHON = re.compile(r"python-?(3\.\d{1,2})")


@dataclass(frozen=True)
class Image:
    """What an image's tag says. `specifier` is None when it names no version of Airflow."""

    is_airflow: bool
    specifier: str | None = None
    python: str | None = None


def judge(reference: str) -> Image:
    """Judges an image's reference, such as `apache/airflow:3.1.8-python3.12`."""
    name, tag = split(reference)
    python = PYTHON.search(tag)
    version = python[1] if python else None
    if name.endswith(("astronomer/astro-runtime", "azurecr.io/runtime", "astronomer/runtime")):
        return Image(True, _runtime(tag), version)
    if name.removeprefix("docker.io/") == "apache/airflow":
        return Image(True, _official(tag), version)
    return Image(False)


def split(reference: str) -> tuple[str, str]:
    """The name and the tag of a reference, the tag empty when there is none."""
    plain = reference.partition("@")[0]
    name, colon, tag = plain.rpartition(":")
    # The colon of `host:5000/name` belongs to a port.
    return (name, tag) if colon and "/" not in tag else (plain, "")


def _runtime(tag: str) -> str | None:
    """The series of Airflow in a runtime; the tag alone does not name the patch release."""
    if match := RUNTIME_3.fullmatch(tag):
        return f"=={match[1]}.*"
    if match := RUNTIME_2.fullmatch(tag):
        series = RUNTIMES.get(int(match[1]))
        return f"=={series}.*" if series else None
    return None


def _official(tag: str) -> str | None:
    """`3.1.8`, `slim-3.1.8-python3.12`, `3.1.8-python3.12`; nothing for `latest`."""
    text = tag.removeprefix("slim-").partition("-")[0]
    try:
        version = Version(text)
    except ValueError:
        return None
    return f"=={version}" if len(version.release) > 2 else f"=={version}.*"
