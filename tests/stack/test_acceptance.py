"""The seven acceptance points of the specification, on one live stack."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.stack_fixture import Stack, read_marks, until

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer", "flower", "worker")


def processes(stack: Stack) -> dict[str, psutil.Process]:
    return {p.name: psutil.Process(p.pid) for p in stack.compose.processes() if p.is_running}


def plain(url: str) -> str:
    """The URL without credentials and without the driver's name."""
    return re.sub(r"//[^@]*@", "//", re.sub(r"\+psycopg2", "", url))


@pytest.mark.parametrize("name", AIRFLOW)
def test_every_airflow_process_has_the_celery_executor_in_its_environment(
    stack: Stack, name: str
) -> None:
    main = processes(stack)[name]
    seen = {main.environ().get("AIRFLOW__CORE__EXECUTOR")}
    for child in main.children(recursive=True):
        with contextlib.suppress(
            psutil.NoSuchProcess
        ):  # the reader of a DAG file that has just ended, a zombie until it is collected
            seen.add(child.environ().get("AIRFLOW__CORE__EXECUTOR"))
    assert seen == {"CeleryExecutor"}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("broker_url", "redis://127.0.0.1:{valkey}/0"),
        ("result_backend", "db+postgresql://127.0.0.1:{postgres}/airflow"),
    ],
)
def test_broker_is_valkey_and_results_are_in_postgresql(
    stack: Stack, option: str, expected: str
) -> None:
    told = (
        stack.command("airflow", "config", "get-value", "celery", option, check=True)
        .stdout.strip()
        .splitlines()[-1]
    )
    assert plain(told) == expected.format(**vars(stack.settings.ports))


def test_flower_lists_the_worker(stack: Stack) -> None:
    until("worker-0 is online in Flower", lambda: "worker-0" in stack.flower.online(), 20)


def test_a_task_runs_below_the_worker_and_not_below_the_scheduler(
    stack: Stack, marks: Path
) -> None:
    run_id = stack.trigger("steady", seconds=4, marks=marks)
    started = until("the task has started", lambda: read_marks(marks))[0]
    chain = [p.pid for p in psutil.Process(started.pid).parents()]
    parts = processes(stack)
    assert parts["worker"].pid in chain
    assert parts["scheduler"].pid not in chain
    assert stack.finished("steady", run_id) == "success"
    assert started.worker == "worker-0"


def test_scaled_to_three_all_workers_are_in_flower_and_each_executes_tasks(
    stack: Stack, marks: Path
) -> None:
    stack.scale(3)
    try:
        assert stack.flower.online() >= {"worker-0", "worker-1", "worker-2"}
        _, state = stack.run("parallel", tasks=12, seconds=2, marks=marks)
        assert state == "success"
        assert {m.worker for m in read_marks(marks)} == {"worker-0", "worker-1", "worker-2"}
    finally:
        stack.scale(1)


def test_a_worker_told_to_stop_completes_its_task_before_it_exits(
    stack: Stack, marks: Path
) -> None:
    worker = processes(stack)["worker"]
    run_id = stack.trigger("steady", seconds=6, marks=marks)
    until("the task has started", lambda: read_marks(marks))
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(timeout=30)
    assert [m.event for m in read_marks(marks) if m.event != "pulse"] == ["start", "end"]
    assert stack.finished("steady", run_id) == "success"
    stack.command("windtunnel", "wait", "--timeout", "60", check=True)


def test_a_valkey_restart_loses_no_task_state(stack: Stack, marks: Path) -> None:
    run_id = stack.trigger("parallel", tasks=6, seconds=3, marks=marks)
    until("two tasks run", lambda: len(read_marks(marks)) >= 2)
    stack.compose.restart("valkey")
    assert stack.finished("parallel", run_id, 120) == "success"
    ends = [m for m in read_marks(marks) if m.event == "end"]
    assert sorted(m.map_index for m in ends) == list(range(6))
