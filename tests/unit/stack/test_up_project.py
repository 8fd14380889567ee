"""`windtunnel up` in a project: what is made, refused, stopped and started. uv and process-compose are played."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack_fixture import ROOT
from tests.unit.project import fake_uv
from tests.unit.project.conftest import DAG
from tests.unit.stack import fake_process_compose
from windtunnel.stack.ports import free_offset
from windtunnel.system import nix_store

#: Nix makes its environments itself; `up` refuses there (tests/unit/project/test_nix.py).
pytestmark = pytest.mark.skipif(
    nix_store.holds(sys.prefix), reason="this windtunnel is from Nix, which installs no packages"
)

UP = [sys.executable, "-P", "-c", "from windtunnel.cli import main; main()", "up", "-D"]


class Played:
    """A project, and the commands on it."""

    def __init__(self, root: Path, calls: Path, program: Path, starts: Path) -> None:
        self.root = root
        self.calls = calls
        self.started = starts
        ours = {"WINDTUNNEL_STATE", "WINDTUNNEL_PROJECT", "DAGS_FOLDER"}
        self.env = {name: text for name, text in os.environ.items() if name not in ours} | {
            "WINDTUNNEL_PROCESS_COMPOSE": str(program),
            "WINDTUNNEL_SERVERS": "path",
            "PORT_OFFSET": str(free_offset()),
        }

    def begin(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*UP, *words],
            cwd=self.root,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, *words: str, **env: str) -> tuple[int, str]:
        process = self.begin(*words, **env)
        said, _ = process.communicate(timeout=100)
        return process.returncode, said

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def starts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.started.read_text().splitlines()]

    def made(self) -> int:
        """The number of environments that uv was asked for."""
        return sum(line.startswith("venv") for line in self.calls.read_text().splitlines())

    def environments(self) -> list[Path]:
        return sorted((self.root / ".windtunnel" / "environments").iterdir())


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    calls = fake_uv.install(tmp_path / "tools", monkeypatch)
    # No network: the address of the published constraints leads nowhere.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    project = Played(tmp_path / "project", calls, *fake_process_compose.install(tmp_path / "tools"))
    project.write("dags/a.py", DAG)
    project.write("requirements.txt", "emoji==2.14.0\n")
    try:
        yield project
    finally:
        for start in project.starts():
            with contextlib.suppress(ProcessLookupError):
                os.kill(start["pid"], signal.SIGKILL)


def alive(start: dict[str, Any]) -> bool:
    return Path(f"/proc/{start['pid']}/exe").exists()


def test_of_two_at_once_the_second_waits_and_stops_nothing(played: Played) -> None:
    both = [played.begin(SLOW="0.5") for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    assert "is running already" in said[0] + said[1]
    assert "another `windtunnel up` or `check` of this project is at work" in said[0] + said[1]
    assert played.made() == 1
    (start,) = played.starts()
    assert alive(start)


def test_a_change_stops_the_stack_and_starts_it_anew_and_no_change_is_refused(
    played: Played,
) -> None:
    assert played.up()[0] == 0
    code, said = played.up()
    assert code == 1 and "is running already" in said
    played.write("requirements.txt", "emoji==2.14.1\n")
    code, said = played.up()
    assert code == 0 and said.count("requirements.txt changed: the tasks in hand finish") == 1, said
    first, second = played.starts()
    assert not alive(first) and alive(second)
    assert len(played.environments()) == 1 and played.made() == 2


def wait_until_uv_works(played: Played) -> None:
    end = time.monotonic() + 60
    while not played.made() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_requirement_that_is_written_while_uv_works_is_installed_too(played: Played) -> None:
    process = played.begin(SLOW="0.5")
    wait_until_uv_works(played)
    played.write("requirements.txt", "emoji==2.14.1\n")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    (environment,) = played.environments()
    assert "emoji==2.14.1" in (environment / "requirements.txt").read_text()


def test_a_reset_waits_for_the_packages_and_then_stops_what_was_started(played: Played) -> None:
    process = played.begin(SLOW="0.5")
    wait_until_uv_works(played)
    done = subprocess.run(
        [*UP[:-2], "reset", "--yes"],
        cwd=played.root,
        env=played.env,
        capture_output=True,
        text=True,
    )
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    assert done.returncode == 0, done
    assert "another `windtunnel up` or `check` of this project is at work" in done.stderr
    (start,) = played.starts()
    assert not alive(start) and not (played.root / ".windtunnel").exists()


def test_nobody_gets_the_lock_while_the_command_goes_on_with_the_new_environments_python(
    played: Played,
) -> None:
    process = played.begin(SLOW="0.1")
    wait_until_uv_works(played)
    with (played.root / ".windtunnel" / "run" / "project.lock").open() as lock:
        while not played.starts() and process.poll() is None:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(0.01)
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 0, said
        # process-compose has not inherited it.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\n"),
        ("dags/b.py", f"{DAG}import boto3\n"),
    ],
)
def test_other_files_that_the_stack_was_made_from_count_too(
    played: Played, name: str, text: str
) -> None:
    played.write("Dockerfile", "FROM apache/airflow:3.3.2\n")
    assert played.up()[0] == 0
    played.write(name, text)
    code, said = played.up()
    assert code == 0 and "changed: the tasks in hand finish" in said, said
    assert len(played.starts()) == 2


@pytest.mark.parametrize("variable", [{}, {"DAGS_FOLDER": "/nowhere"}])
def test_what_would_refuse_the_new_stack_leaves_the_running_one_alone(
    played: Played, variable: dict[str, str]
) -> None:
    assert played.up()[0] == 0
    played.write("requirements.txt", "emoji==2.14.1\n")
    if not variable:
        played.write("windtunnel.yaml", "damaged\n")
    code, said = played.up(**variable)
    assert code in (1, 2), said
    if not variable:
        assert f"{played.root}/windtunnel.yaml cannot be used: " in said, said
    (start,) = played.starts()
    assert alive(start), said


def test_the_stack_inherits_nothing_that_would_mislead_another_up(played: Played) -> None:
    assert played.up()[0] == 0
    (start,) = played.starts()
    assert "WINDTUNNEL_PROJECT_ENVIRONMENT" not in start["env"]
    assert start["env"]["DAGS_FOLDER"] == str(played.root / "dags")


def test_a_state_folder_behind_a_symlink_keeps_the_environment_in_use(
    played: Played, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (played.root / ".windtunnel").symlink_to(tmp_path / "disk")
    code, said = played.up()
    assert code == 0, said
    assert len(played.environments()) == 1


def test_airflow_reads_no_file_of_the_state_folder_where_the_project_itself_holds_the_dags(
    played: Played,
) -> None:
    played.write("mine.py", DAG)
    (played.root / "dags" / "a.py").unlink()
    (played.root / "dags").rmdir()
    assert played.up()[0] == 0
    (environment,) = played.environments()
    # uv makes this link, and Airflow would take it for an endless loop.
    (environment / "lib64").symlink_to("lib")
    code = (
        "import sys\nfrom airflow._shared.module_loading.file_discovery import find_path_from_directory as find\n"
        "for syntax in ('glob', 'regexp'):\n"
        "    print([path for path in find(sys.argv[1], '.airflowignore', syntax) if path.endswith('.py')])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(played.root)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in found.stdout.splitlines() if line.startswith("[")]
    assert lines == [f"['{played.root}/mine.py']"] * 2


def test_the_record_keeps_packages_from_the_project(played: Played) -> None:
    played.write("celery.py", "")
    played.write("dags/redis.py", "")
    # The environment of the test has its packages elsewhere.
    played.write("requirements.txt", "")
    code, said = played.up()
    assert code == 0 and ".: celery is an installed package too, which counts" in said, said
    known = json.loads((played.root / ".windtunnel" / "project.json").read_text())
    assert known["import_path"] == [] == known["python_path"]
    assert known["import_last"] == [str(played.root), str(played.root / "dags")]


def test_a_shell_of_one_project_starts_no_other_one(played: Played, tmp_path: Path) -> None:
    code, said = played.up("--project", ".", WINDTUNNEL_PROJECT=str(tmp_path))
    assert code == 2 and f"this shell belongs to the stack of {tmp_path}, not to" in said, said
    assert not (played.root / ".windtunnel").exists()


def test_the_variable_for_the_checkouts_airflow_is_refused_in_a_project(played: Played) -> None:
    """The next `up` without it would migrate the project's database to another Airflow."""
    code, said = played.up("--project", ".", WINDTUNNEL_SERIES="3.2")
    assert code == 2 and "AIRFLOW=3.2 is for windtunnel's own checkout" in said, said
    assert "write apache-airflow==3." in said
    assert not (played.root / ".windtunnel").exists()


def test_the_defaults_that_a_shell_of_the_checkout_exports_are_not_the_projects(
    played: Played, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    for name in ("process-compose.yaml", "airflow-home/airflow.cfg"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    variables = {"WINDTUNNEL_ROOT": "", "WINDTUNNEL_STATE": "/.state", "DAGS_FOLDER": "/dags"}
    code, said = played.up(**{name: f"{checkout}{tail}" for name, tail in variables.items()})
    assert code == 0, said
    (start,) = played.starts()
    assert start["env"]["WINDTUNNEL_STATE"] == str(played.root / ".windtunnel")
    assert start["env"]["DAGS_FOLDER"] == str(played.root / "dags")
    assert not (checkout / ".state").exists()


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\nb"])
def test_a_path_that_would_be_split_is_refused_before_anything_is_written(
    played: Played, tmp_path: Path, name: str
) -> None:
    other = tmp_path / name
    played.root.rename(other)
    played.root = other
    code, said = played.up()
    assert code == 2 and "a colon, comma or line break" in said and len(said.splitlines()) == 1
    assert not (other / ".windtunnel").exists()
