"""Names of any alphabet work in the POSIX locale, and queues with odd names run their tasks; no worker restarts by them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.stack_fixture import NewStack, until

QUEUES = ["größe 日本", "a b", 'it"s [x]*?']
DAG = """
import time
from airflow.sdk import dag, task

@dag(dag_id="größe_日本", schedule=None, params={"seconds": 0})
def odd():
    for number, queue in enumerate(QUEUES):
        @task(task_id=f"zählen_{number}", queue=queue, retries=1, retry_delay=1)
        def count(params=None):
            print("grüße 日本", flush=True)
            time.sleep(float(params["seconds"]))
        count()

odd()
"""
ID = "größe_日本"


def test_a_stack_in_the_posix_locale_runs_tasks_with_unicode_names_on_queues_with_odd_names(
    new_stack: NewStack, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(DAG.replace("QUEUES", repr(QUEUES)), encoding="utf-8")
    posix = {"LC_ALL": "C", "LANG": "C", "DAGS_FOLDER": str(tmp_path)}
    stack = new_stack(WORKER_QUEUES=",".join(QUEUES), WORKER_CONCURRENCY="3", **posix)
    stack.up()
    until("the DAG is known", lambda: stack.airflow.dag(ID), 60)
    found = json.loads(stack.command("windtunnel", "run", ID, "--json", check=True).stdout)
    assert {task["queue"] for task in found["tasks"]} == set(QUEUES)
    assert "grüße 日本" in stack.airflow.log(ID, found["run_id"], "zählen_0")

    # A lost worker: its ledger, the tasks' logs, and the supervisor's words carry the names.
    run_id = stack.trigger(ID, seconds=600)
    until("all run", lambda: [t.state for t in stack.tasks(ID, run_id)] == ["running"] * 3)
    done = stack.command("windtunnel", "down", "--now", timeout=120)
    assert done.returncode == 0 and f"{ID}.zählen_0 (run {run_id}, try 1)" in done.stderr, done
    said = (stack.settings.logs / "worker-0.log").read_text(encoding="utf-8")
    assert f"lost {ID}.zählen_2" in said and "Traceback" not in said
    assert said.count("starting: Celery is pid") == 1
    log = next(
        (stack.settings.logs / "tasks").glob(
            f"dag_id={ID}/run_id={run_id}/task_id=zählen_1/attempt=1.log"
        )
    )
    assert "lost this task" in log.read_text(encoding="utf-8")
