"""The supported minor versions of Airflow beside ours: a project that pins one gets it, and the promises hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stack.test_plugin import session, write_files
from tests.stack.test_project import Project
from tests.stack_fixture import ROOT
from windtunnel.project import releases
from windtunnel.stack.ports import free_offset

pytestmark = pytest.mark.timeout(900)
#: Patches that step back there, by series: what they replace looks different in that Airflow.
SKIPPED = {
    "3.2": {"dag_processor_api_when_asked", "files_when_notified"},
    "3.1": {
        "dag_processor_api_when_asked",
        "files_when_notified",
        "middlewares_step_aside",
        "newest_execution_api_first",
        "operators_cost_less",
        "routes_are_built_when_used",
    },
}


def skipped(project: Project) -> set[str]:
    """The patches that step back on a running stack."""
    return {
        name
        for patches in project.status()["patches"].values()
        for name, patch in patches.items()
        if patch["state"] == "skipped"
    }


def newest_release() -> str:
    """The newest Airflow in the package index; with WINDTUNNEL_AIRFLOW=RELEASE another one."""
    named = os.environ.get("WINDTUNNEL_AIRFLOW")
    if named:
        return named
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    asked = [uv, "pip", "compile", "--quiet", "--no-deps", "--no-header", "-"]
    done = subprocess.run(asked, input="apache-airflow", capture_output=True, text=True, check=True)
    return done.stdout.split("==")[1].split()[0]


@pytest.mark.long
def test_no_patch_steps_back_on_the_newest_airflow(tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    release = newest_release()
    (root / "requirements.txt").write_text(f"apache-airflow=={release}\nemoji==2.14.0\n")
    project = Project(root / ".windtunnel", free_offset(), root, WINDTUNNEL_PROJECT=str(root))
    project.variables = {"PORT_OFFSET": project.variables["PORT_OFFSET"]}
    try:
        project.up()
        assert project.airflow.call("GET", "/version")["version"] == release
        for dag in ("hello", "chain", "retry", "deferrable"):
            assert project.run(dag)[1] == "success", dag
        assert skipped(project) == set()
        assert project.status()["problems"] == []
        assert project.command("windtunnel", "down").returncode == 0
    finally:
        project.destroy()


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
        assert skipped(project) == SKIPPED[series]
        assert project.status()["problems"] == []
        # The guide's tests of the pytest plugin, on the stack that runs.
        write_files(root)
        (root / "tests" / "test_dags.py").unlink()  # its DAGs are examples of our own Airflow
        tested = session(root, "tests", "--windtunnel=attach")
        assert "4 passed" in tested.stdout, tested.stdout + tested.stderr
        assert "goes on running" not in tested.stdout
        assert project.command("windtunnel", "down").returncode == 0
    finally:
        project.destroy()
