"""Stacks side by side never meet: two of one checkout, and one of a second clone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.stack_fixture import ROOT, NewStack


def test_three_stacks_at_once_see_neither_workers_nor_runs_of_each_other(
    new_stack: NewStack, tmp_path: Path
) -> None:
    # The path has a space, and a docker compose.yaml and a .env lie in the folder: none of them may matter.
    clone = tmp_path / "second clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    (clone / ".env").write_text("WORKERS=nonsense\nPORT_OFFSET=nonsense\n")
    # Settings of Celery that only Airflow can read: its own command has to start Flower (windtunnel.runtime.flower_server).
    first, second = (
        new_stack(),
        new_stack(
            WORKERS="2", AIRFLOW__CELERY__EXTRA_CELERY_CONFIG='{"worker_prefetch_multiplier": 1}'
        ),
    )
    third = new_stack(root=clone, PYTHONPATH=str(clone / "src"))
    stacks = [first, second, third]
    for stack in stacks:
        stack.up()
    assert [stack.flower.online() for stack in stacks] == [
        {"worker-0"},
        {"worker-0", "worker-1"},
        {"worker-0"},
    ]
    logs = [(stack.settings.logs / "flower.log").read_text() for stack in stacks]
    assert ["Flower is started by Airflow" in log for log in logs] == [False, True, False]
    run_id, state = second.run("hello")
    assert state == "success"
    for other in (first, third):
        assert run_id not in [
            row["dag_run_id"] for row in other.airflow.pages("/dags/hello/dagRuns", "dag_runs")
        ]
        assert other.run("hello")[1] == "success"
    # The second clone ran its own files.
    (dag,) = (row for row in third.airflow.pages("/dags", "dags") if row["dag_id"] == "hello")
    assert str(dag["fileloc"]).startswith(str(clone))
    assert second.down().returncode == 0
    assert first.run("hello")[1] == "success"
    refused = first.command("windtunnel", "status", PORT_OFFSET=str(first.settings.port_offset + 1))
    assert refused.returncode == 2 and "was started with" in refused.stderr
    shutil.rmtree(clone, ignore_errors=True)
