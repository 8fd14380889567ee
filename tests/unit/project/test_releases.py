"""The release of Airflow that runs, for what a project wants."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.specifiers import SpecifierSet

from tests.unit.project.conftest import Look, remarks
from windtunnel.project import releases, versions

OURS = metadata.version("apache-airflow")


@pytest.mark.parametrize(
    ("wanted", "release"),
    [
        ("==3.2.1", "3.2.1"),
        ("==3.1.*", "3.1.8"),
        ("==3.3.*", OURS),
        (">=3.1", OURS),
        ("~=3.2.0", "3.2.2"),
        (">=3.1,<3.2", "3.1.8"),
        (">=3.1.1,!=3.3.*", "3.2.2"),
        ("~=3.0.0", OURS),
        ("==3.0.6", OURS),
        ("==2.11.0", OURS),
        # Yanked, and not released.
        ("==3.1.4", "3.1.8"),
        ("==3.2.99", "3.2.2"),
    ],
)
def test_a_supported_release_runs_and_one_of_its_series_or_ours_stands_in_for_another(
    look: Look, wanted: str, release: str
) -> None:
    found = look({"requirements.txt": f"apache-airflow{wanted}\n"})
    assert versions.release(found.airflow) == release
    stands_in = f"requirements.txt: wants Airflow {wanted}; windtunnel runs 3.1, 3.2 and 3.3, so "
    stands_in += f"{release} runs instead:"
    fits = SpecifierSet(wanted).contains(release)
    assert (stands_in in remarks(found)) is not fits


@pytest.mark.parametrize("wanted", ["3.3.99", "3.9.9", "3.4.0b2"])
def test_a_pin_that_is_newer_than_all_that_was_tried_runs_with_one_remark(
    look: Look, wanted: str
) -> None:
    found = look({"requirements.txt": f"apache-airflow=={wanted}\n"})
    assert versions.release(found.airflow) == wanted
    lines = [line for line in remarks(found).splitlines() if "wants Airflow" in line]
    assert len(lines) == 1 and f"Airflow {wanted}, with which this windtunnel was not" in lines[0]


def test_a_range_that_allows_newer_releases_stays_with_one_that_was_tried(look: Look) -> None:
    found = look({"requirements.txt": "apache-airflow>=3.3\n"})
    assert versions.release(found.airflow) == OURS


def test_a_series_is_its_newest_release_by_number_not_by_text() -> None:
    assert releases.newest("3.1") == "3.1.8"
    assert releases.newest("3") == OURS
    assert releases.newest("2.11") is None


def test_the_packages_of_a_release_end_after_its_day_in_every_time_zone() -> None:
    assert releases.packages_until("3.2.2") == "2026-05-31T00:00:00Z"
    assert releases.packages_until("3.0.6") is None


def test_the_table_has_the_release_that_windtunnel_itself_runs() -> None:
    assert OURS in releases.RELEASED
