"""A run starts when its DAG has been read with the factor of that moment, or without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from windtunnel.clients.airflow import Airflow, ApiError, TaskInstance
from windtunnel.errors import NoStackError, UsageError
from windtunnel.runtime import impatience_file
from windtunnel.settings import Settings, load
from windtunnel.testing import failure, impatience
from windtunnel.testing.impatience import Reader, impatient
from windtunnel.testing.results import Place, RunResult
from windtunnel.testing.runs import DagRun


class Api:
    """Airflow's API as far as it is used: two files with three DAGs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[str] = []
        self.away = False

    def pages(self, path: str, key: str) -> list[dict[str, Any]]:
        if self.away:
            raise NoStackError("nobody answers")
        return [dag("one.py"), dag("one.py"), dag("two.py")]

    def parse_again(self, token: str) -> None:
        self.asked.append(token)

    def run_state(self, *run: str) -> str:
        return "success"

    def task_instances(self, *run: str) -> list[TaskInstance]:
        return []


def dag(token: str, *tags: str) -> dict[str, Any]:
    return {"file_token": token, "tags": [{"name": tag} for tag in tags]}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    (tmp_path / "run").mkdir()
    return Api(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))


def block(api: Api, factor: float = 10) -> Any:
    return impatient(api.settings, cast(Airflow, api), factor)


def factor(api: Api) -> float:
    return impatience_file.read(api.settings.run).factor


def test_each_file_is_read_again_where_the_factor_changes(api: Api) -> None:
    with block(api):
        assert sorted(api.asked) == ["one.py", "two.py"]
        with block(api), block(api, 5):
            assert factor(api) == 10
        assert len(api.asked) == 2
        with block(api, 20):
            assert (factor(api), len(api.asked)) == (20, 4)
        assert (factor(api), len(api.asked)) == (10, 6)
    assert (factor(api), len(api.asked)) == (1, 8)


def test_a_block_that_fails_ends_the_impatience(api: Api) -> None:
    with pytest.raises(RuntimeError):
        with block(api):
            raise RuntimeError
    assert factor(api) == 1


def test_a_block_works_while_the_api_server_is_away(api: Api) -> None:
    api.away = True
    with block(api):
        assert factor(api) == 10
    assert factor(api) == 1


@pytest.mark.parametrize("given", [0, 0.5, -1, float("nan"), float("inf"), 10**7])
def test_a_factor_that_cannot_be_used_is_named(api: Api, given: float) -> None:
    with pytest.raises(UsageError, match="1 to 1,000,000"):
        with block(api, given):
            pass
    assert factor(api) == 1


def test_a_dag_that_was_read_otherwise_is_read_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(api.settings, cast(Airflow, api))
    assert reader.has_read(dag("one.py", "own"))
    impatience_file.hold(api.settings.run, 10)
    for tags in ((), ("own",), ("impatient x20",), ("impatient x10", "impatient x20")):
        assert not reader.has_read(dag("one.py", *tags))
    assert api.asked == ["one.py"], "not in each of its looks"
    assert "older windtunnel" in reader.hint
    assert reader.has_read(dag("one.py", "own", "impatient x10"))
    monkeypatch.setattr(impatience, "ASK_SECONDS", 0)
    assert not reader.has_read(dag("one.py"))
    assert len(api.asked) == 2, "a reading that was under way may have missed the change"


def test_what_a_killed_session_has_left_is_read_again(api: Api) -> None:
    reader = Reader(api.settings, cast(Airflow, api))
    assert not reader.has_read(dag("one.py", "impatient x10"))
    assert api.asked == ["one.py"]


def test_the_result_names_the_largest_factor_of_its_run(api: Api) -> None:
    airflow = cast(Airflow, api)
    run = DagRun(airflow, "example", "run")
    assert run.result().impatience is None
    with block(api, 2):
        run = DagRun(airflow, "example", "run")
        with block(api, 10):
            run.result()
        assert run.result().impatience == 10
    run = DagRun(airflow, "example", "run")
    with block(api, 5):
        assert run.result().impatience == 5, "it began during the run"


def test_the_failure_names_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "explain", lambda *what: "")
    place = Place(cast(Airflow, api), "example", "run", 0)
    for given, text in ((10.0, ", with waiting 10 times shorter"), (None, "")):
        with pytest.raises(AssertionError) as failed:
            RunResult(place, "failed", 1.5, [], given).assert_success()
        assert f"is failed after 1.5 s{text} (" in str(failed.value)


def test_a_file_that_is_asked_for_already_is_no_error(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    def refuse(*what: object, **options: object) -> None:
        raise ApiError(httpx.Response(status, json={"detail": "exists"}))

    airflow = Airflow(replace(api.settings))
    monkeypatch.setattr(airflow, "call", refuse)
    status = 409
    airflow.parse_again("token")
    status = 404
    with pytest.raises(ApiError):
        airflow.parse_again("token")
