"""Waiting for a task: mapped ones, states that do not exist, and why a task does not begin."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.clients.airflow import Airflow, TaskInstance
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.health import status
from windtunnel.health.problems import Problem
from windtunnel.settings import load
from windtunnel.testing.runs import STATES, DagRun

Tasks = dict[str, list[str | None]]


def instance(task_id: str, index: int, state: str | None) -> TaskInstance:
    return TaskInstance(task_id, index, state, 1, None, None, None, None, None, None)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DagRun:
    (tmp_path / "run").mkdir()
    airflow = Airflow(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))
    monkeypatch.setattr(airflow, "run_state", lambda *_: "running")
    return DagRun(airflow, "etl", "one")


def show(run: DagRun, monkeypatch: pytest.MonkeyPatch, *looks: Tasks) -> None:
    """Each look at the run shows these states; a mapped task has several."""
    left = list(looks)

    def instances(*_: Any) -> list[TaskInstance]:
        tasks = left.pop(0) if len(left) > 1 else left[0]
        return [
            instance(name, index if len(states) > 1 else -1, state)
            for name, states in tasks.items()
            for index, state in enumerate(states)
        ]

    monkeypatch.setattr(run.airflow, "task_instances", instances)


def test_the_id_of_a_mapped_task_stands_for_all_of_its_indexes(
    run: DagRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(
        run,
        monkeypatch,
        {"square": [None]},
        {"square": ["running", "queued", "queued"]},
        {"square": ["success", "running", "queued"]},
        {"square": ["success", "success", "running"]},
    )
    run.wait_for("square", "running", timeout=5)
    show(run, monkeypatch, {"square": ["success", "failed", "running"]})
    with pytest.raises(AssertionError, match=r"square\[1\] is failed and was not seen success"):
        run.wait_for("square", "success", timeout=5)


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("square", "'square' is mapped: square[0] to square[10]"),
        ("squarex", "did you mean 'square'? It is mapped: square[0] to square[10]"),
        ("sum_upp", "did you mean 'sum_up'?"),
        ("other", "it has square, sum_up"),
    ],
)
def test_a_task_that_is_mapped_or_misspelt_is_named(
    run: DagRun, monkeypatch: pytest.MonkeyPatch, label: str, hint: str
) -> None:
    show(run, monkeypatch, {"square": ["success"] * 11, "sum_up": ["success"]})
    with pytest.raises(WindtunnelError, match=re.escape(hint)):
        _ = run[label].state


@pytest.mark.parametrize("states", [("finished",), ("running", "finished"), ()])
def test_a_state_that_does_not_exist_is_refused_at_once(
    run: DagRun, states: tuple[str, ...]
) -> None:
    with pytest.raises(
        UsageError, match=r"('finished'|nothing) is no state of a task; choose await"
    ):
        run.wait_for("load", *states)


def test_the_known_states_are_those_of_airflow() -> None:
    spec = find_spec("airflow")
    assert spec is not None and spec.submodule_search_locations
    text = Path(spec.submodule_search_locations[0], "utils", "state.py").read_text()
    classes = re.findall(r"^class (Term|Inter)\w+State\(.*?(?=^class |\Z)", text, re.M | re.S)
    assert classes
    for name in ("TerminalTIState", "IntermediateTIState"):
        body = re.search(rf"^class {name}\(.*?(?=^class )", text, re.M | re.S)
        assert body is not None
        assert set(re.findall(r'^    [A-Z_]+ = "(\w+)"', body[0], re.M)) <= STATES


def test_a_task_that_does_not_begin_says_what_is_in_its_way(
    run: DagRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem("gpu", "1 task waits in the queue 'gpu'", "start a worker")
    row = {"dag_id": "forever", "task_id": "spin", "hostname": "worker-0", "dag_run_id": "late"}
    monkeypatch.setattr(status, "collect", lambda _: SimpleNamespace(problems=[problem]))
    monkeypatch.setattr(run.airflow, "pages", lambda *_, **__: [row, row | {"dag_run_id": "one"}])
    show(run, monkeypatch, {"load": ["queued"]})
    with pytest.raises(AssertionError) as caught:
        run.result(timeout=0.1)
    first, *why = str(caught.value).splitlines()
    assert "the run has not ended after 0 s, it is running (1 queued)" in first
    assert why == [
        "    gpu: 1 task waits in the queue 'gpu'",
        "    forever.spin runs on worker-0, run late",
    ]
    show(run, monkeypatch, {"load": ["running"]})
    with pytest.raises(AssertionError) as caught:
        run.result(timeout=0.1)
    assert len(str(caught.value).splitlines()) == 1
