"""A project's own packages, plugins, variables and objects on a live stack, in a folder with an odd name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dap import Debugger
from tests.stack_fixture import Stack, until
from windtunnel.stack.ports import free_offset

pytestmark = pytest.mark.timeout(900)
DAG = """
import json, os, subprocess, sys
from pathlib import Path
import emoji
from airflow.sdk import Connection, Variable, dag, task
from include.names import NAME


@dag(schedule=None)
def facts():
    @task
    def look():
        from macros_of_ours import MACRO

        child = subprocess.run([sys.executable, "-c", "import include.names"], check=False)
        return {
            "package": emoji.__version__,
            "include": NAME,
            "plugin": MACRO,
            "folder": os.getcwd(),
            "env": os.environ.get("FROM_DOTENV"),
            "setting": os.environ.get("AIRFLOW__CORE__DEFAULT_TASK_RETRIES"),
            "variable": Variable.get("colour"),
            "host": Connection.get("shop").host,
            "child": child.returncode,
            "fork": None,
        }

    look()


facts()
"""
FILES = {
    "dags/facts.py": DAG,
    "include/names.py": 'NAME = "included"\n',
    "plugins/macros_of_ours.py": 'MACRO = "plugged"\n',
    # Python's own module of this name must win, else nothing starts. In `config/`, so that the root stays on PYTHONPATH.
    "config/types.py": "raise SystemExit('the project shadows the standard library')\n",
    "requirements.txt": "emoji==2.14.0\n",
    ".env": 'FROM_DOTENV="a b"\nAIRFLOW__CORE__EXECUTOR=LocalExecutor\n',
    "config/airflow.cfg": "[core]\ndefault_task_retries = 3\nexecutor = LocalExecutor\n",
    "airflow_settings.yaml": (
        "airflow:\n"
        "  connections: [{conn_id: shop, conn_type: http, conn_host: example.org}]\n"
        "  variables: [{variable_name: colour, variable_value: blue}]\n"
        "  pools: [{pool_name: narrow, pool_slot: 1, pool_description: ''}]\n"
    ),
    "windtunnel.yaml": "processes:\n  beside:\n    command: exec sleep 100000\n    shutdown: {timeout_seconds: 5}\n",
}


class Project(Stack):
    """Its commands run in the project's folder and get no variable that names the stack."""

    @property
    def environment(self) -> dict[str, str]:
        ours = {"WINDTUNNEL_STATE", "WINDTUNNEL_PROJECT", "DAGS_FOLDER", "AIRFLOW_HOME"}
        return {k: v for k, v in os.environ.items() if k not in ours} | self.variables

    def up(self, timeout: float = 400.0) -> None:
        self.command("windtunnel", "up", "-D", check=True, timeout=timeout)
        self.command("windtunnel", "wait", "--timeout", "120", check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("projects") / "mein Projekt ü"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = Project(root / ".windtunnel", free_offset(), root, WINDTUNNEL_PROJECT=str(root))
    made.variables = {"PORT_OFFSET": made.variables["PORT_OFFSET"], "WORKER_CONCURRENCY": "2"}
    try:
        yield made
    finally:
        made.destroy()


def facts(project: Project) -> dict[str, object]:
    run_id, state = project.run("facts")
    assert state == "success", project.tasks("facts", run_id)
    return dict(project.returned("facts", run_id, "look"))


def files(root: Path) -> list[str]:
    """Everything in the project but caches of Python and the state folder."""
    found = subprocess.run(["find", ".", "-type", "f"], cwd=root, capture_output=True, text=True)
    ignored = ("./.windtunnel/", "__pycache__")
    return sorted(name for name in found.stdout.split("\n") if not any(i in name for i in ignored))


def test_a_task_has_the_projects_packages_folders_variables_and_objects(project: Project) -> None:
    before = files(project.root)
    done = project.command("windtunnel", "up", "-D", timeout=400)
    assert done.returncode == 0, done.stderr
    for refused in ("AIRFLOW__CORE__EXECUTOR is the stack's own", "[core] executor is the stack's"):
        assert refused in done.stderr
    project.command("windtunnel", "wait", "--timeout", "120", check=True)
    assert facts(project) == {
        "package": "2.14.0",
        "include": "included",
        "plugin": "plugged",
        "folder": str(project.root),
        "env": "a b",
        "setting": "3",
        "variable": "blue",
        "host": "example.org",
        "child": 0,
        "fork": None,
    }
    assert files(project.root) == before, "nothing of the project is written"
    assert (project.settings.state / ".gitignore").read_text() == "*\n"
    assert (project.settings.state / "project.json").stat().st_mode & 0o777 == 0o600


def test_the_stack_is_found_from_a_folder_below_and_has_the_projects_own_process(
    project: Project,
) -> None:
    below = project.root / "dags"
    done = subprocess.run(
        ["windtunnel", "status", "--json"],
        cwd=below,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    status = json.loads(done.stdout)
    assert status["problems"] == [], status["problems"]
    names = {row["name"]: row["status"] for row in status["processes"]}
    assert names["beside"] == "Running"


def test_airflows_own_commands_and_a_shell_have_the_projects_packages(project: Project) -> None:
    listed = project.command("windtunnel", "airflow", "pools", "list", "--output", "json")
    assert listed.returncode == 0, listed
    assert "narrow" in {row["pool"] for row in json.loads(listed.stdout)}
    script = project.root.parent / "script.sh"
    script.write_text(
        "#!/bin/sh\nexec python -c 'import emoji, include.names; print(emoji.__version__)'\n"
    )
    script.chmod(0o755)
    shown = project.command("windtunnel", "shell", SHELL=str(script))
    assert shown.stdout == "2.14.0\n", shown


def test_the_log_of_a_task_and_of_a_process_can_be_read_by_name(project: Project) -> None:
    task = project.command("windtunnel", "logs", "facts", "latest", "look", check=True)
    assert "Done. Returned value was" in task.stdout
    process = project.command("windtunnel", "logs", "migrate", "-n", "3", check=True)
    assert "imported the connections, variables and pools" in process.stdout
    wrong = project.command("windtunnel", "logs", "nothing")
    assert wrong.returncode == 2 and "there are api-server" in wrong.stderr


def test_a_task_is_debugged_with_the_projects_packages_and_debugpy_stays_out_of_them(
    project: Project,
) -> None:
    command = subprocess.Popen(
        ["windtunnel", "debug", "facts", "look"],
        env=project.environment,
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    line = command.stdout.readline()
    debugger = Debugger(json.loads(line[line.index("{") :])["connect"]["port"])
    breakpoint_ = 1 + DAG.splitlines().index("        return {")
    debugger.attach(project.root / "dags" / "facts.py", breakpoint_)
    thread = debugger.event("stopped")["threadId"]
    assert debugger.value("emoji.__version__", thread) == "'2.14.0'"
    debugger.ask("continue", threadId=thread)
    debugger.event("terminated")
    debugger.close()
    _, said = command.communicate(timeout=120)
    assert command.returncode == 0, said
    state = project.settings.state
    assert list((state / "environments").rglob("debugpy")) == []
    assert len(list((state / "debugger").glob("*/debugpy"))) == 1


def test_a_second_up_is_refused_and_a_changed_requirement_is_installed_after_a_drain(
    project: Project,
) -> None:
    again = project.command("windtunnel", "up", "-D")
    assert again.returncode == 1 and "is running already" in again.stderr, again
    project.airflow.call(
        "PATCH",
        "/variables/colour",
        json={"key": "colour", "value": "red"},
        params={"update_mask": "value"},
    )
    settings = project.root / "airflow_settings.yaml"
    settings.write_text(
        settings.read_text().replace("blue", "green").replace("example.org", "example.com")
    )
    (project.root / "requirements.txt").write_text("emoji==2.14.1\n")
    problems = {row["part"]: row["do"] for row in project.status()["problems"]}
    assert "`windtunnel up`" in problems["requirements.txt"]
    project.up()
    found = facts(project)
    assert found["package"] == "2.14.1"
    assert found["variable"] == "red", "what a person changed in the UI stays"
    assert found["host"] == "example.com", "what nobody changed follows its file"
    kept = list((project.settings.state / "environments").iterdir())
    assert len(kept) == 1, "the former environment is deleted"


def test_a_conflict_names_both_sides_and_leaves_the_running_stack_alone(project: Project) -> None:
    requirements = project.root / "requirements.txt"
    former = requirements.read_text()
    requirements.write_text("celery==5.4.0\n")
    refused = project.command("windtunnel", "up", "-D")
    assert refused.returncode == 1
    assert "celery==5.4.0" in refused.stderr and "celery<5.7,>=5.6.3" in refused.stderr, refused
    requirements.write_text("emoji==99\n")
    unknown = project.command("windtunnel", "up", "-D")
    assert unknown.returncode == 1 and "emoji==99" in unknown.stderr, unknown
    requirements.write_text(former)
    assert project.status()["problems"] == []


def test_the_stack_ends_with_its_own_command(project: Project) -> None:
    assert project.command("windtunnel", "down").returncode == 0
    until("nothing listens", lambda: project.command("windtunnel", "status").returncode == 3, 10)


def test_reset_deletes_all_that_a_project_got(project: Project) -> None:
    project.command("windtunnel", "reset", "--yes", check=True)
    assert not project.settings.state.exists()
