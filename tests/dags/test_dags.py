"""The DAG files as Airflow's DAG processor sees them: no stack and no database behind."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
STEMS = sorted(path.stem for path in DAGS.glob("*.py"))
#: One per behaviour that the docs and the failure scenarios refer to.
EXPECTED = {
    "hello",
    "parallel",
    "chain",
    "queues",
    "drain",
    "retry",
    "deferrable",
    "memory",
    "steady",
    "crash",
    "load",
}
#: DAGs whose tasks take time, and say when they ran.
TIMED = sorted(EXPECTED - {"hello"})

PARSE = """
import json, sys, time
import airflow
from airflow.dag_processing.dagbag import DagBag
began = time.perf_counter()
bag = DagBag(sys.argv[1])
seconds = time.perf_counter() - began
dags = {}
for dag in bag.dags.values():
    dag.validate()
    dag.params.validate()
    dags[dag.dag_id] = {
        "file": dag.fileloc, "doc": dag.doc_md, "tags": sorted(dag.tags), "schedule": dag.schedule,
        "catchup": dag.catchup,
        "params": {name: {"value": dag.params.get_param(name).value, "schema": dag.params.get_param(name).schema,
                          "description": dag.params.get_param(name).description} for name in dag.params},
        "tasks": {task.task_id: {"retries": task.retries, "queue": task.queue,
                                 "delay": task.retry_delay.total_seconds(), "up": sorted(task.upstream_task_ids)}
                  for task in dag.tasks},
        "active": [dag.max_active_tasks, dag.max_active_runs],
    }
json.dump({"seconds": seconds, "errors": bag.import_errors, "dags": dags}, sys.stdout)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow-home")


def environment(home: Path) -> dict[str, str]:
    """A bare Airflow: nothing of the caller's settings, and a database that does not exist."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "WINDTUNNEL"))
    }
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/never-made.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }


def parse(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """What Airflow makes of a folder, as JSON on stdout; in its own process, since Airflow reads its settings once."""
    command = [sys.executable, "-c", PARSE, str(folder)]
    return subprocess.run(
        command, env=environment(home), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def parsed(home: Path) -> dict[str, Any]:
    done = parse(DAGS, home)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"seconds"') :])
    return result


def test_every_behaviour_has_its_dag() -> None:
    assert set(STEMS) == EXPECTED


def test_all_parse_without_an_error_and_fast(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    # Workers parse the file again for every task, the DAG processor every few seconds.
    assert parsed["seconds"] < 2


@pytest.mark.parametrize("stem", STEMS)
def test_a_file_holds_one_dag_named_like_it(parsed: dict[str, Any], stem: str) -> None:
    inside = [dag_id for dag_id, dag in parsed["dags"].items() if Path(dag["file"]).stem == stem]
    assert inside == [stem]


@pytest.mark.parametrize("stem", STEMS)
def test_it_says_in_the_interface_what_it_shows(parsed: dict[str, Any], stem: str) -> None:
    dag = parsed["dags"][stem]
    assert dag["doc"].lstrip().startswith(f"### {stem}\n")
    assert len(dag["doc"].split()) >= 25
    assert dag["tags"]


@pytest.mark.parametrize("stem", STEMS)
def test_it_runs_only_when_asked(parsed: dict[str, Any], stem: str) -> None:
    assert parsed["dags"][stem]["schedule"] is None
    assert parsed["dags"][stem]["catchup"] is False


@pytest.mark.parametrize("stem", TIMED)
def test_its_length_and_its_marks_are_parameters(parsed: dict[str, Any], stem: str) -> None:
    params = parsed["dags"][stem]["params"]
    assert {"seconds", "marks"} <= set(params)
    assert params["seconds"]["schema"]["type"] == "number"
    assert params["marks"]["value"] == ""
    for name, param in params.items():
        assert param["description"], f"{name} has no description"
        assert param["schema"].get("type"), f"{name} has no type"


@pytest.mark.parametrize("stem", STEMS)
def test_its_retries_are_written_down_and_soon(parsed: dict[str, Any], stem: str) -> None:
    tree = ast.parse((DAGS / f"{stem}.py").read_text())
    # Airflow's own default delay is five minutes: nobody waits for that in a rehearsal.
    for name, task in parsed["dags"][stem]["tasks"].items():
        assert task["retries"] == 0 or timedelta(seconds=task["delay"]) <= timedelta(seconds=1), (
            name
        )
    assert "retries" in ast.dump(tree)


@pytest.mark.parametrize("stem", STEMS)
def test_loading_it_has_no_effect(stem: str) -> None:
    """Top level: a doc string, imports, constants, the DAG function and its call; and no I/O among them."""
    body = ast.parse((DAGS / f"{stem}.py").read_text()).body
    assert ast.get_docstring(ast.Module(body, []))
    for node in body[1:]:
        if isinstance(node, ast.Expr):
            call = node.value
            assert (
                isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
            ), ast.dump(node)
        elif isinstance(node, ast.Assign):
            assert isinstance(node.value, ast.Constant), ast.dump(node)
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef), ast.dump(node)


def test_what_the_scenarios_count_on(parsed: dict[str, Any]) -> None:
    tasks = {
        dag: {name: task["retries"] for name, task in d["tasks"].items()}
        for dag, d in parsed["dags"].items()
    }
    assert tasks["steady"] == {"work": 0}
    assert tasks["retry"] == {"work": 2}
    assert tasks["crash"] == {"work": 3}
    assert tasks["drain"] == {"in_python": 0, "in_bash": 0}
    queues = {name: task["queue"] for name, task in parsed["dags"]["queues"]["tasks"].items()}
    assert queues == {"light": "default", "heavy": "heavy", "report": "default"}
    assert sorted(len(task["up"]) for task in parsed["dags"]["chain"]["tasks"].values()) == [
        0,
        1,
        1,
        1,
        1,
    ]
    for dag in ("parallel", "load"):
        assert parsed["dags"][dag]["active"][0] >= 1000
    for dag in ("steady", "retry"):
        assert parsed["dags"][dag]["active"][1] >= 1000


def test_a_broken_file_is_caught(home: Path, tmp_path: Path) -> None:
    """The check above can fail: the same parser reports a file that does not import."""
    (tmp_path / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")
    done = parse(tmp_path, home)
    assert "no_such_module" in done.stdout
