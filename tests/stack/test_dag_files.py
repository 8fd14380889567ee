"""DAG files, deferrable tasks and task logs, as someone who writes DAGs meets them."""

from __future__ import annotations

import time
from pathlib import Path

from tests.stack_fixture import Stack, until

SOURCE = """
from airflow.sdk import dag, task


@dag(dag_id="fresh", schedule=None)
def fresh():
    @task
    def answer():
        return {value}

    answer()


fresh()
"""


def test_a_saved_dag_file_can_be_triggered_and_a_changed_one_runs_its_new_code_within_ten_seconds(
    stack: Stack,
) -> None:
    file = stack.settings.dags / "fresh.py"
    try:
        file.write_text(SOURCE.format(value=1))
        saved = time.monotonic()
        until("the new DAG can be triggered", lambda: stack.airflow.dag("fresh"), 10)
        assert time.monotonic() - saved < 10
        run_id, state = stack.run("fresh")
        assert (state, stack.returned("fresh", run_id, "answer")) == ("success", 1)
        file.write_text(SOURCE.format(value=2))
        changed = time.monotonic()
        run_id, state = stack.run("fresh")
        assert (state, stack.returned("fresh", run_id, "answer")) == ("success", 2)
        assert time.monotonic() - changed < 10
    finally:
        file.unlink()


def test_a_deferrable_task_gives_its_slot_back_and_finishes(stack: Stack) -> None:
    run_id = stack.trigger("deferrable", seconds=4)
    until(
        "a task is deferred",
        lambda: "deferred" in {t.state for t in stack.tasks("deferrable", run_id)},
        30,
    )
    assert stack.finished("deferrable", run_id) == "success"


def test_the_log_of_a_task_of_every_worker_is_readable_through_the_api(
    stack: Stack, marks: Path
) -> None:
    stack.scale(2)
    try:
        run_id, state = stack.run("parallel", tasks=6, seconds=2, marks=marks)
        assert state == "success"
        work = [t for t in stack.tasks("parallel", run_id) if t.task_id == "work"]
        assert {t.hostname for t in work} == {"worker-0", "worker-1"}
        for task in work:
            log = stack.airflow.log("parallel", run_id, "work", task.try_number, task.map_index)
            assert "Could not read" not in log, log
            assert "Done. Returned value was: None" in log, log
    finally:
        stack.scale(1)


def test_run_as_json_tells_the_outcome_of_each_task(stack: Stack) -> None:
    import json

    outcome = json.loads(stack.command("windtunnel", "run", "hello", "--json", check=True).stdout)
    assert (outcome["version"], outcome["state"]) == (1, "success")
    assert {t["hostname"] for t in outcome["tasks"]} == {"worker-0"}
