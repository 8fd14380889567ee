"""What the calls of a test do to Airflow, also where they are interrupted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from windtunnel.errors import NoStackError, WindtunnelError
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
    assert calls == ["POST /backfills", "GET /backfills/7", "PUT /backfills/7/cancel"]


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
