"""Inside Airflow: what a test's impatience shortens, what it leaves alone, and what it says about it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator

from windtunnel.runtime import impatience, impatience_file

Make = Callable[..., Any]


class Sensor(BaseSensorOperator):  # type: ignore[misc]
    """Two more attributes, one an interval that a deferrable one would give its trigger."""

    def __init__(self, polling_interval: timedelta = timedelta(seconds=30), **options: Any) -> None:
        super().__init__(**options)
        self.polling_interval = polling_interval
        self.check_interval = "each minute"


class Task(BaseOperator):  # type: ignore[misc]
    def __init__(self, poke_interval: float = 60, **options: Any) -> None:
        super().__init__(**options)
        self.poke_interval = poke_interval

    def execute(self, context: Any) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run = tmp_path / "state" / "run"
    run.mkdir(parents=True)
    monkeypatch.setenv("WINDTUNNEL_STATE", str(run.parent))
    return run


@pytest.fixture
def by_ten(folder: Path) -> Path:
    impatience_file.hold(folder, 10)
    return folder


def bagged(make: Make, **options: Any) -> Any:
    """A task of a DAG after Airflow's policies (`DagBag.bag_dag`)."""
    with DAG("example", schedule=None, tags=["own"]) as dag:
        task = make(task_id="task", **options)
    apply(dag)
    return task if isinstance(task, BaseOperator) else dag.task_dict["task"]


def apply(dag: Any) -> None:
    impatience.dag_policy(dag)
    for task in dag.tasks:
        impatience.task_policy(task)


def mapped(make: Any, each: dict[str, list[Any]], **options: Any) -> Make:
    return lambda task_id: make.partial(task_id=task_id, **options).expand(**each)


def start(task: Any, reschedules: int = 0, first: float = 0, next_method: str = "") -> None:
    """What the worker does right before it executes a task."""
    ti = SimpleNamespace(
        get_first_reschedule_date=lambda context: datetime.fromtimestamp(first, UTC),
        _ti_context_from_server=SimpleNamespace(next_method=next_method),
    )
    context = {"task": task, "ti": ti, "task_reschedule_count": reschedules}
    for callback in task.on_execute_callback:
        callback(context)


def seconds(value: timedelta) -> float:
    return value.total_seconds()


def test_retry_delays_are_shorter_and_the_dag_says_so(by_ten: Path) -> None:
    delays = {"retry_delay": timedelta(minutes=1), "max_retry_delay": timedelta(minutes=10)}
    task = bagged(Task, retries=2, **delays)
    assert (seconds(task.retry_delay), seconds(task.max_retry_delay)) == (6, 60)
    assert task.dag.tags == {"own", "impatient x10"}


def test_a_sensor_looks_more_often_in_each_mode(by_ten: Path) -> None:
    for mode in ("poke", "reschedule"):
        task = bagged(Sensor, mode=mode, poke_interval=60, max_wait=90, timeout=600)
        start(task)
        assert (task.poke_interval, task.max_wait) == (6, timedelta(seconds=9))
        assert task.polling_interval == timedelta(seconds=3)
        assert task.timeout == 600
        assert task.check_interval == "each minute", "this is no time"


def test_an_operator_that_is_no_sensor_keeps_its_intervals(by_ten: Path) -> None:
    task = bagged(Task, retries=1, execution_timeout=timedelta(minutes=1))
    start(task)
    assert task.poke_interval == 60
    assert task.execution_timeout == timedelta(minutes=1)


def test_a_mapped_task_is_shortened_in_its_operator(by_ten: Path) -> None:
    delay = timedelta(minutes=1)
    task = bagged(mapped(Sensor, {"poke_interval": [60, 120]}, retries=1, retry_delay=delay))
    assert seconds(task.retry_delay) == 6, "the scheduler takes it from here"
    operator = task.unmap({"poke_interval": 120})
    start(operator)
    assert (operator.poke_interval, seconds(operator.retry_delay)) == (12, 6)


def test_a_mapped_sensor_without_retries_is_shortened_too(by_ten: Path) -> None:
    operator = bagged(mapped(Sensor, {"timeout": [1]})).unmap({"timeout": 1})
    start(operator)
    assert operator.poke_interval == 6


def test_the_log_says_once_by_how_much(by_ten: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    task = bagged(Sensor, retries=1, retry_delay=timedelta(minutes=1))
    start(task)
    assert [record.getMessage() for record in caplog.records] == [
        "windtunnel: waiting is 10 times shorter for a test: retry_delay 60 s to 6 s, "
        "poke_interval 60 s to 6 s, polling_interval 30 s to 3 s"
    ]
    again = bagged(Sensor, retries=1)
    start(again, reschedules=1, first=time.time() + 1)
    assert again.poke_interval == 6
    start(bagged(Sensor, retries=1), next_method="execute_complete")
    assert len(caplog.records) == 1


def test_a_sensor_that_paused_before_the_block_began_says_it_too(
    by_ten: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start(bagged(Sensor), reschedules=1, first=time.time() - 5)
    assert "10 times shorter" in caplog.text


def test_a_task_that_waits_for_nothing_is_left_alone(by_ten: Path) -> None:
    task = bagged(Task)
    assert task.retry_delay == timedelta(minutes=5)
    assert not task.on_execute_callback


def test_a_task_that_the_scheduler_ends_itself_gets_no_callback(by_ten: Path) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    assert not bagged(EmptyOperator, retries=2).on_execute_callback


def test_a_users_callback_stays(by_ten: Path) -> None:
    called: list[Any] = []
    for given in (called.append, [called.append], None):
        start(bagged(Sensor, on_execute_callback=given))
    assert len(called) == 2
    task = bagged(mapped(Sensor, {"timeout": [1]}, on_execute_callback=called.append))
    start(task.unmap({"timeout": 1}))
    assert len(called) == 3


def test_a_dag_that_is_read_twice_is_shortened_once(by_ten: Path) -> None:
    task = bagged(Task, retries=1, retry_delay=timedelta(minutes=1))
    apply(task.dag)
    assert seconds(task.retry_delay) == 6
    assert len(task.on_execute_callback) == 1


@pytest.mark.parametrize(("given", "shortened"), [(0.5, 0.1), (0.05, 0.05), (0, 0)])
def test_nothing_is_shorter_than_a_tenth_of_a_second(
    by_ten: Path, given: float, shortened: float
) -> None:
    task = bagged(Sensor, poke_interval=given)
    start(task)
    assert task.poke_interval == shortened


def test_the_delays_of_a_retry_policy_are_shorter(
    by_ten: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

    caplog.set_level(logging.INFO)
    policy = ExceptionRetryPolicy(
        [
            RetryRule(ValueError, retry_delay=timedelta(minutes=1), reason="soon"),
            RetryRule(KeyError, action=RetryAction.FAIL),
        ]
    )
    task = bagged(Task, retries=1, retry_policy=policy)
    start(task)
    decision = task.retry_policy.evaluate(ValueError(), 1, 2, None)
    assert (seconds(decision.retry_delay), decision.reason) == (6, "soon")
    assert task.retry_policy.evaluate(KeyError(), 1, 2).action is RetryAction.FAIL
    assert policy.rules[0].retry_delay == timedelta(minutes=1), "other tasks may have it too"
    assert "the delays of its retry policy" in caplog.text


def unchanged() -> None:
    task = bagged(Sensor, retries=1, retry_delay=timedelta(minutes=1))
    start(task)
    assert (seconds(task.retry_delay), task.poke_interval) == (60, 60)
    assert task.dag.tags == {"own"}
    assert not task.on_execute_callback


def test_a_stack_without_the_file_waits_as_ever(folder: Path) -> None:
    unchanged()


def test_airflow_without_a_stack_waits_as_ever(
    by_ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WINDTUNNEL_STATE")
    unchanged()


HOLDER = '{"id": "a", "pid": %d, "start": 1, "boot": "b", "factor": 10}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "null",
        "3",
        '{"holders": 3}',
        '{"holders": [3, null, {}]}',
        '{"holders": [{"id": "a", "pid": [], "start": 1, "boot": "b", "factor": 10}]}',
        '{"holders": [%s]}' % (HOLDER % 1),
        '{"holders": [%s]}' % (HOLDER % 10**30),
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_damaged_file_changes_nothing(folder: Path, text: str) -> None:
    (folder / impatience_file.NAME).write_text(text, errors="surrogateescape")
    unchanged()
    # And the next block works.
    impatience_file.release(folder, impatience_file.hold(folder, 10))
    assert not (folder / impatience_file.NAME).exists()


@pytest.mark.parametrize("factor", ["10", float("nan"), float("inf"), 0, -1, 0.5, None])
def test_a_factor_that_is_none_changes_nothing(by_ten: Path, factor: object) -> None:
    file = by_ten / impatience_file.NAME
    data = json.loads(file.read_text())
    data["holders"][0]["factor"] = factor
    file.write_text(json.dumps(data))
    if factor == "10":
        assert impatience_file.read(by_ten).factor == 10
    else:
        unchanged()


def test_without_the_file_the_policy_costs_nothing_measurable(folder: Path) -> None:
    with DAG("example", schedule=None) as dag:
        Task(task_id="task", retries=1)
    began = time.thread_time()
    for _ in range(1000):
        apply(dag)
    # 0.2 ms a DAG; it is 5 µs on an idle machine.
    assert time.thread_time() - began < 0.2


DAG_FILE = """
from datetime import timedelta
from airflow.sdk import dag, task

@dag(schedule=None)
def example():
    @task(retries=1, retry_delay=timedelta(minutes=1))
    def load(): ...

    @task.sensor(mode="reschedule")
    def look(n): ...

    load() >> look.expand(n=[1, 2])

example()
"""
PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from windtunnel.runtime import impatience_file

def parsed():
    bag = DagBag(sys.argv[1], bundle_path=Path(sys.argv[1]), bundle_name="example")
    assert not bag.import_errors, bag.import_errors
    return json.dumps(DagSerialization.to_dict(bag.dags["example"]), sort_keys=True)

run = Path(sys.argv[2])
patient = parsed()
holder = impatience_file.hold(run, 10)
impatient = [parsed(), parsed()]
impatience_file.release(run, holder)
print("RESULT", json.dumps([patient, *impatient, parsed()]))
"""


def test_airflow_finds_the_policy_and_stores_the_same_dag(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "example.py").write_text(DAG_FILE)
    env = os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", PARSE, str(tmp_path / "dags"), str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    patient, first, second, after = json.loads(line.removeprefix("RESULT"))
    assert '"retry_delay": 6.0' in first and '"impatient x10"' in first
    assert first == second, "otherwise Airflow counts a new version of the DAG each time"
    assert "impatient" not in patient and patient == after
