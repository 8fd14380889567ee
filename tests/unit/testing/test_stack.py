"""What the calls of a test do to Airflow, also where they are interrupted."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, date, datetime, timedelta
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


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"extra": {1, 2}}, "extra={1, 2} is no dictionary and no JSON text"),
        ({"extra": {"a": {1}}}, "extra is no JSON"),
        ({"port": "5432"}, "port='5432' is no whole number"),
        ({"password": b"hidden"}, "password is no text, but bytes"),
    ],
)
def test_a_field_of_a_connection_that_airflow_would_refuse_is_named(
    windtunnel: Windtunnel, field: dict[str, Any], text: str
) -> None:
    with (
        pytest.raises(UsageError, match=re.escape(text)),
        windtunnel.connection("shop", "http", **field),
    ):
        pass


def test_the_extra_of_a_connection_may_be_a_dictionary(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Any] = []

    def replaced(*words: Any) -> contextlib.nullcontext[None]:
        stored.append(words[1:])
        return contextlib.nullcontext()

    monkeypatch.setattr(objects, "replaced", replaced)
    with windtunnel.connection("shop", "http", host="example.org", extra={"a": 1}):
        pass
    body = {"connection_id": "shop", "conn_type": "http", "host": "example.org"}
    assert stored == [("connections", "shop", body | {"extra": '{"a": 1}'})]


@pytest.mark.parametrize("conf", ["left", ["a"], {"a": {1}}])
def test_a_conf_that_is_no_json_object_is_refused(windtunnel: Windtunnel, conf: Any) -> None:
    with pytest.raises(UsageError, match="conf"):
        windtunnel.run("etl", conf)


def test_a_run_that_an_asset_has_started_is_waited_for_and_returned_once(
    windtunnel: Windtunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime.now(UTC)
    rows = [{"dag_run_id": "before", "queued_at": (start - timedelta(60)).isoformat()}]

    def look(dag_id: str, limit: int) -> list[dict[str, str]]:
        rows.insert(0, {"dag_run_id": f"new-{len(rows)}", "queued_at": start.isoformat()})
        return rows

    monkeypatch.setattr(windtunnel.airflow, "newest_run_rows", look)
    assert windtunnel.wait_for_run("consumer").run_id == "new-1"
    assert windtunnel.wait_for_run("consumer").run_id == "new-2"
    assert len(windtunnel.changes) == 2, "they end with the test too"
    monkeypatch.setattr(windtunnel.airflow, "newest_run_rows", lambda *_: rows[-1:])
    with pytest.raises(AssertionError, match=r"no new run after 0 s: .* --windtunnel-schedules"):
        windtunnel.wait_for_run("consumer", timeout=0.1)
