"""A run starts when Airflow has read the DAG's file as it is now, and not before or never."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from windtunnel.clients.airflow import Airflow
from windtunnel.errors import UsageError
from windtunnel.settings import Settings, load
from windtunnel.testing.dags import wait_until_read


class Api:
    """Airflow's API: one DAG, and the files that cannot be imported."""

    def __init__(self, name: str, parsed: float, seconds: float | None = None) -> None:
        self.row: dict[str, Any] | None = {
            "relative_fileloc": name,
            "last_parsed_time": stamp(parsed),
            "last_parse_duration": seconds,
            "is_paused": False,
            "file_token": "token",
            "tags": [],
        }
        self.broken: list[tuple[str, str, str]] = []
        self.asked = 0

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        return self.row

    def import_traces(self) -> list[tuple[str, str, str]]:
        return self.broken

    def import_errors(self) -> list[tuple[str, str]]:
        return [(file, trace) for file, trace, _ in self.broken]

    def pages(self, *_: str) -> list[dict[str, Any]]:
        return []

    def parse_again(self, token: str) -> None:
        """As the DAG processor does after a while."""
        assert self.row is not None
        self.asked += 1
        self.row["last_parsed_time"] = stamp(time.time() + 1)
        self.broken = []


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "dags" / "team").mkdir(parents=True)
    variables = {"WINDTUNNEL_STATE": str(tmp_path), "DAGS_FOLDER": str(tmp_path / "dags")}
    return load(variables, client=False)


def file(settings: Settings, name: str, changed: float) -> None:
    path = settings.dags / name
    path.touch()
    os.utime(path, (changed, changed))


def wait(settings: Settings, api: Api, dag_id: str = "etl", timeout: float = 0.5) -> None:
    wait_until_read(settings, cast(Airflow, api), dag_id, time.time(), timeout)


@pytest.mark.parametrize("name", ["my_etl.py", "team/etl.py"])
def test_the_import_error_of_another_file_whose_name_ends_alike_is_not_this_ones(
    settings: Settings, name: str
) -> None:
    now = time.time()
    file(settings, name, now - 60)
    file(settings, "etl.py", now - 60)
    api = Api(name, parsed=now - 30)
    api.broken = [("etl.py", "ImportError: nothing", stamp(now - 30))]
    wait(settings, api, "other")


def test_the_error_that_a_person_has_corrected_is_not_the_tests(settings: Settings) -> None:
    now = time.time()
    file(settings, "etl.py", now - 1)
    api = Api("etl.py", parsed=now - 30)
    api.broken = [("etl.py", "ImportError: nothing", stamp(now - 20))]
    wait(settings, api)
    assert api.asked == 1
    api.broken = [("etl.py", "ImportError: nothing", stamp(now))]
    with pytest.raises(AssertionError, match="cannot be imported"):
        wait(settings, api)


def test_a_file_from_the_future_is_read_once_more_and_no_longer_waited_for(
    settings: Settings,
) -> None:
    file(settings, "etl.py", time.time() + 3600)
    api = Api("etl.py", parsed=time.time() - 30)
    wait(settings, api)
    assert api.asked == 1


def test_a_reading_that_had_begun_before_the_change_does_not_count(settings: Settings) -> None:
    now = time.time()
    file(settings, "etl.py", now - 2)
    api = Api("etl.py", parsed=now - 1, seconds=3.0)
    wait(settings, api)
    assert api.asked == 1


def test_a_changed_module_that_the_file_imports_is_waited_for(settings: Settings) -> None:
    now = time.time()
    file(settings, "etl.py", now - 60)
    (settings.dags / "etl.py").write_text("from common import steps")
    os.utime(settings.dags / "etl.py", (now - 60, now - 60))
    (settings.dags / "common").mkdir()
    file(settings, "common/steps.py", now - 60)
    api = Api("etl.py", parsed=now - 30)
    wait(settings, api)
    assert api.asked == 0
    file(settings, "common/steps.py", now - 1)
    wait(settings, api)
    assert api.asked == 1


def test_an_error_that_a_person_has_corrected_in_an_imported_module_is_not_the_tests(
    settings: Settings,
) -> None:
    now = time.time()
    (settings.dags / "etl.py").write_text("import steps")
    os.utime(settings.dags / "etl.py", (now - 60, now - 60))
    file(settings, "steps.py", now - 1)
    api = Api("etl.py", parsed=now - 30)
    api.broken = [("etl.py", "ImportError: nothing", stamp(now - 20))]
    wait(settings, api)
    assert api.asked == 1


def test_the_link_that_an_editor_leaves_beside_an_open_file_is_no_dag_file(
    settings: Settings,
) -> None:
    (settings.dags / ".#etl.py").symlink_to("somebody@somewhere.123")
    api = Api("etl.py", parsed=0)
    api.row = None
    with pytest.raises(UsageError, match="there is no DAG 'etl'"):
        wait_until_read(settings, cast(Airflow, api), "etl", 0, 0.5)
