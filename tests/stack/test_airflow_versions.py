"""The supported minor versions of Airflow beside ours: a project that pins one gets it, and the promises hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.stack.test_project import Project
from tests.stack_fixture import ROOT
from windtunnel.project import releases
from windtunnel.stack.ports import free_offset

pytestmark = pytest.mark.timeout(900)
#: Patches that step back there, by series: what they replace looks different in that Airflow.
SKIPPED = {
    "3.2": {"dag_processor_api_when_asked", "files_when_told"},
    "3.1": {
        "dag_processor_api_when_asked",
        "files_when_told",
        "middlewares_step_aside",
        "newest_execution_api_first",
        "operators_cost_less",
        "routes_are_built_when_used",
    },
}


@pytest.mark.parametrize("series", ["3.2", "3.1"])
def test_a_project_runs_with_the_airflow_that_it_pins(series: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    release = releases.newest(series)
    (root / "requirements.txt").write_text(f"apache-airflow=={release}\n")
    project = Project(root / ".windtunnel", free_offset(), root, WINDTUNNEL_PROJECT=str(root))
    project.variables = {
        "PORT_OFFSET": project.variables["PORT_OFFSET"],
        "WORKER_CONCURRENCY": "2",
    }
    try:
        project.up()
        version = project.airflow.call("GET", "/version")["version"]
        assert version == release
        for dag in ("hello", "chain", "retry", "deferrable"):
            assert project.run(dag)[1] == "success", dag
        drill = project.command("windtunnel", "drill", "worker-killed", "--json")
        kept = json.loads(drill.stdout)
        assert drill.returncode == 0, [s for s in kept["scenarios"] if not s["ok"]]
        status = project.status()
        skipped = {
            name
            for patches in status["patches"].values()
            for name, patch in patches.items()
            if patch["state"] == "skipped"
        }
        assert skipped == SKIPPED[series]
        assert status["problems"] == []
        assert project.command("windtunnel", "down").returncode == 0
    finally:
        project.destroy()
