"""What the calls of a test do to Airflow, also where they are interrupted."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import NoStackError, UsageError, WindtunnelError
from windtunnel.settings import load
from windtunnel.testing import dags, faults, mending, objects
from windtunnel.testing.stack import Windtunnel

FIRST, LAST = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)


@pytest.fixture
def windtunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Windtunnel:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(dags, "wait_until_read", lambda *_: None)
    return Windtunnel(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), NoStackError("none"), SystemExit(1)])
def test_a_backfill_that_is_interrupted_is_cancelled(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    calls = []

    def call(method: str, path: str, **_: Any) -> Any:
        calls.append(f"{method} {path}")
        if method == "GET":
            raise error
        if path.endswith("cancel"):
            raise WindtunnelError("it has ended just now")
        return {"id": 7}

    monkeypatch.setattr(windtunnel.airflow, "call", call)
    with pytest.raises(type(error)):
        windtunnel.backfill("daily", FIRST, LAST)
    assert calls == ["POST /backfills", "GET /dags/daily/dagRuns", "PUT /backfills/7/cancel"]


@pytest.mark.parametrize("was_broken", [True, False])
def test_parts_are_brought_back_before_objects_of_which_one_may_be_the_database(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch, was_broken: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr(faults, "bring_back", lambda _: was_broken)
    monkeypatch.setattr(faults, "wait_for_workers", lambda _: done.append("wait"))
    monkeypatch.setattr(objects, "bring_back", lambda _: done.append("objects"))
    mending.mend(windtunnel.settings)
    assert done == ["wait"] * was_broken + ["objects"]


def test_a_backfill_takes_dates_as_people_write_them_and_ends_with_its_last_run(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    states = iter(["queued", "running", "success", "success"])

    def call(method: str, path: str, **options: Any) -> Any:
        asked.append((method, path, options))
        return {"id": 7}

    def pages(path: str, key: str, **params: Any) -> list[dict[str, str]]:
        return [{"dag_run_id": "one", "state": next(states)}]

    airflow = windtunnel.airflow
    monkeypatch.setattr(airflow, "call", call)
    monkeypatch.setattr(airflow, "pages", pages)
    monkeypatch.setattr(airflow, "run_state", lambda *_: "success")
    monkeypatch.setattr(airflow, "task_instances", lambda *_: [])
    (run,) = windtunnel.backfill("daily", date(2026, 1, 5), "2026-01-08T12:00+02:00")
    assert run.success and len(windtunnel.changes) == 1
    (_, _, first), (method, path, _) = asked
    assert first["json"]["from_date"] == "2026-01-05T00:00:00+00:00"
    assert first["json"]["to_date"] == "2026-01-08T12:00:00+02:00"
    # Airflow itself would take up to 30 s until the next backfill may begin.
    assert (method, path) == ("PUT", "/backfills/7/cancel")


@pytest.mark.parametrize("when", ["tomorrow", 5, None, ""])
def test_what_is_no_point_in_time_is_refused_before_airflow_is_asked(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch, when: Any
) -> None:
    monkeypatch.setattr(windtunnel.airflow, "call", None)
    with pytest.raises(UsageError, match=r"last=.* is no point in time: give a date"):
        windtunnel.backfill("daily", datetime(2026, 1, 1), when)


def test_a_dag_that_is_paused_already_needs_no_undoing(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = {"is_paused": False}
    airflow = windtunnel.airflow
    monkeypatch.setattr(airflow, "dag", lambda _: paused)
    monkeypatch.setattr(
        airflow, "change_dag", lambda _, is_paused: paused.update(is_paused=is_paused)
    )
    windtunnel.unpause("etl")
    assert len(windtunnel.changes) == 0
    windtunnel.pause("etl")
    windtunnel.pause("etl")
    assert paused["is_paused"] and len(windtunnel.changes) == 1
    windtunnel.changes.undo(windtunnel.changes.take(0))
    assert not paused["is_paused"]
