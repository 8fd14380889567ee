"""`windtunnel run` says why a task failed, so that nobody needs to open the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.stack_fixture import Stack, until

DAG = """
import os, signal
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

def divide(x):
    return 1 / x

@dag(dag_id="fails_größe", schedule=None)
def fails():
    @task
    def raises():
        try:
            divide(0)
        except ZeroDivisionError as error:
            raise RuntimeError("geht nicht: ü") from error

    @task
    def killed():
        print("the last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    raises()
    killed()
    BashOperator(task_id="shell", bash_command="echo so far; echo oh no >&2; exit 7")

fails()
"""
ID = "fails_größe"


@pytest.fixture
def fails(stack: Stack) -> Iterator[Stack]:
    """The shared stack with a DAG whose tasks all fail."""
    file = stack.settings.dags / "fails.py"
    file.write_text(DAG, encoding="utf-8")
    until("the DAG is known", lambda: stack.airflow.dag(ID), 30)
    yield stack
    file.unlink()


def test_each_failed_task_is_shown_with_its_cause(fails: Stack) -> None:
    done = fails.command("windtunnel", "run", ID)
    assert done.returncode == 1, done
    assert "raises failed on worker-0, try 1: RuntimeError: geht nicht: ü" in done.stderr
    assert "caused by ZeroDivisionError: division by zero" in done.stderr
    assert "fails.py:7 in divide" in done.stderr and "site-packages" not in done.stderr
    assert "killed by SIGKILL" in done.stderr and "the last words" in done.stderr
    assert "return" in done.stderr and "exit code 7" in done.stderr and "oh no" in done.stderr
    assert "DagBag" not in done.stderr and "::" not in done.stderr.replace("+00:00", "")


def test_json_has_the_error_as_fields_and_a_missing_log_is_said(fails: Stack) -> None:
    found = json.loads(fails.command("windtunnel", "run", ID, "--json").stdout)
    by_task = {task["task_id"]: task["error"] for task in found["tasks"]}
    assert [cause["type"] for cause in by_task["raises"]["causes"]] == [
        "RuntimeError",
        "ZeroDivisionError",
    ]
    assert by_task["raises"]["causes"][1]["frames"][-1].endswith("fails.py:7 in divide")
    from windtunnel.stack.task_error import read

    shutil.rmtree(
        next(
            (fails.settings.logs / "tasks").glob(
                f"dag_id={ID}/run_id={found['run_id']}/task_id=shell"
            )
        )
    )
    assert (
        "the log gives no reason"
        in read(fails.airflow.log_events(ID, found["run_id"], "shell")).summary
    )
