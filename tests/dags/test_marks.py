"""The marks that tasks leave outside Airflow: the failure scenarios trust them, so they are checked first."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from windtunnel import dag_helpers

KEYS = {
    "event",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try",
    "pid",
    "start",
    "worker",
    "time",
}


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "with a space" / "marks.jsonl"
    path.parent.mkdir()
    ti = SimpleNamespace(dag_id="steady", run_id="r1", task_id="work", map_index=3, try_number=2)
    monkeypatch.setattr(
        dag_helpers, "get_current_context", lambda: {"params": {"marks": str(path)}, "ti": ti}
    )
    monkeypatch.setenv("WINDTUNNEL_WORKER", "worker-7")
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_task_that_ends_leaves_a_start_and_an_end(marks: Path) -> None:
    with dag_helpers.marked():
        dag_helpers.spend(0)
    start, end = lines(marks)
    assert (start["event"], end["event"]) == ("start", "end")
    assert set(start) == set(end) == KEYS
    assert (start["try"], start["map_index"], start["worker"], start["pid"]) == (
        2,
        3,
        "worker-7",
        os.getpid(),
    )
    assert abs(float(str(start["time"])) - time.time()) < 5


def test_a_task_that_fails_leaves_no_end(marks: Path) -> None:
    with pytest.raises(RuntimeError), dag_helpers.marked():
        raise RuntimeError
    assert [line["event"] for line in lines(marks)] == ["start"]


def test_without_a_file_nothing_is_written(marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_helpers, "get_current_context", lambda: {"params": {"marks": None}})
    dag_helpers.mark("start")
    assert not marks.exists()


def test_bash_leaves_the_same_line(marks: Path) -> None:
    env = dict(os.environ) | {
        "MARKS": str(marks),
        "AIRFLOW_CTX_DAG_ID": "drain",
        "AIRFLOW_CTX_DAG_RUN_ID": "manual__2026-11-21T10:00:00+00:00",
        "AIRFLOW_CTX_TASK_ID": "in_bash",
        "AIRFLOW_CTX_TRY_NUMBER": "1",
    }
    subprocess.run(
        ["bash", "-c", dag_helpers.BASH_MARK + "mark start && mark end"], env=env, check=True
    )
    start, end = lines(marks)
    assert (start["event"], end["event"]) == ("start", "end")
    assert set(start) == KEYS
    assert (start["task_id"], start["try"], start["worker"]) == ("in_bash", 1, "worker-7")
    assert abs(float(str(start["time"])) - time.time()) < 5


def test_spending_takes_as_long_as_asked() -> None:
    began = time.monotonic()
    dag_helpers.spend(0.7)
    assert 0.7 <= time.monotonic() - began < 1.5
