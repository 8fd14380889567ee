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


@pytest.mark.long
@pytest.mark.parametrize("series", ["3.2", "3.1"])
def test_the_checkouts_own_dags_run_with_another_airflow_of_the_lock(
    series: str, tmp_path: Path
) -> None:
    """In the environment below `.airflow/`, which is made where it is missing."""
    # As from a shell: nothing of the environment in which the tests run.
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "WINDTUNNEL_NO_NIX")
        if name in os.environ
    }
    env = kept | {
        "AIRFLOW": series,
        "WINDTUNNEL_STATE": str(tmp_path / "state"),
        "PORT_OFFSET": str(free_offset()),
        "WORKER_CONCURRENCY": "2",
    }

    def dev(*words: str) -> str:
        done = subprocess.run([ROOT / "dev", *words], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        dev("process-compose", "up", "-D")
        dev("windtunnel", "wait", "--timeout", "240")
        for dag in ("hello", "chain", "retry", "deferrable"):
            dev("windtunnel", "run", dag)
        status = json.loads(dev("windtunnel", "status", "--json"))
        assert (status["airflow"], status["problems"]) == (releases.newest(series), [])
        outcomes = [each for patches in status["patches"].values() for each in patches.items()]
        assert {n for n, patch in outcomes if patch["state"] == "skipped"} == SKIPPED[series]
        drill = json.loads(dev("windtunnel", "drill", "worker-killed", "--json"))
        assert (drill["airflow"], drill["ok"]) == (releases.newest(series), True)
        dev("process-compose", "down")
        # process-compose was told to write no colours.
        assert "\x1b" not in (tmp_path / "state" / "logs" / "process-compose.log").read_text()
    finally:
        subprocess.run([ROOT / "dev", "windtunnel", "reset", "--yes"], env=env, check=False)
