"""A worker that is not made as the scheduler is says so where a person looks first: in the log of the task, and in `status`."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.stack_fixture import Stack, until
from windtunnel.drill.lab_worker import NAME, lab_worker


def test_a_worker_with_other_packages_runs_its_tasks_and_tells_the_difference(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "made_elsewhere-1.0.dist-info").mkdir()
    supervisor = psutil.Process(int(stack.supervisor("worker-0")["pid"])).environ()
    path = ":".join(filter(None, [str(tmp_path), supervisor.get("PYTHONPATH")]))
    with lab_worker(stack.settings, supervisor | {"PYTHONPATH": path, "WORKER_QUEUES": "heavy"}):
        run_id, state = stack.run("queues")
        assert state == "success", "a difference need not matter"
        notice = "this worker runs on Python"
        assert notice in until(
            "the log of the task is there", lambda: stack.airflow.log("queues", run_id, "heavy")
        )
        assert notice not in stack.airflow.log("queues", run_id, "light")
        (problem,) = (p for p in stack.status()["problems"] if "packages" in p["what"])
        assert problem["part"] == NAME and "the scheduler on Python" in problem["what"]
    assert not [p for p in stack.status()["problems"] if "packages" in p["what"]], "it was stopped"
