"""What a person types wrongly gets one line and exit code 2; a stack that is not there 3; never a traceback."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

from tests.unit.small_stack import stop
from windtunnel.cli import app
from windtunnel.clients import process_compose
from windtunnel.settings import Settings, load
from windtunnel.stack import absence
from windtunnel.system import nix_store

CODE = "from windtunnel.cli import main; main()"


def windtunnel(state: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "WINDTUNNEL_STATE": str(state), **more}
    return subprocess.run(
        [sys.executable, "-c", CODE, *words],
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("line", "part"),
    [("run", "'dag_id'"), ("wait --timeout abc", "--timeout"), ("status extra", "extra"), ("down --nov", "--now"), ("debug d", "'task_id'"), ("debug d t --port 80", "--port"),
     ("debug d t --timeout 0", "--timeout"), ("debug d t --conf []", "--conf"), ("scale 1 2", "2"),
     ("scale -1", "'-1'"), ("drain", "'worker'"), ("drill nosuch", "'nosuch'"), ("drill --soak 0", "--soak"),
     ("drill --junit /nonexistent/x.xml broker-away", "--junit"), ("bench --rounds 0", "--rounds"), ("token x", "x"),
     ("reset --no", "--no"), ('run d --conf {"a":NaN}', "NaN"), ("run d --conf " + "[" * 100_000, "--conf"),
     ("drill --report /nonexistent/x.html broker-away", "/nonexistent is no folder"),
     ("drill --report / broker-away", "it is a folder"), ("drill --stock --report /dev/null", "no regular file"),
     ("bench --report /proc/x.html", "--report"), ("bench --growth --report x.html", "--growth"),
     ("drill --junit / broker-away", "--junit"), ("reset", "--yes"), ("doctor x", "x"), ("nosuch", "'nosuch'")],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_two(tmp_path: Path, line: str, part: str) -> None:
    done = windtunnel(tmp_path, *line.split())
    assert done.returncode == 2 and not done.stdout, done
    assert (
        done.stderr.count("\n") == 1
        and part in done.stderr
        and done.stderr.startswith("windtunnel: ")
    ), done.stderr


@pytest.mark.parametrize(
    "line",
    ["run hello", "debug hello greet", "token", "status", "wait", "scale 2", "drain worker-0"],
)
def test_without_a_stack_that_ever_ran_the_stack_is_what_is_missing(
    tmp_path: Path, line: str
) -> None:
    done = windtunnel(tmp_path, *line.split())
    assert (
        done.returncode == 3
        and "no stack is running" in done.stderr
        and done.stderr.count("\n") == 1
    ), done


@pytest.mark.parametrize("line", ["run hello", "token", "drill", "status"])
def test_a_stack_that_was_stopped_is_what_is_missing_and_not_an_answer_of_airflow(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "airflow-password").write_text("secret")
    done = windtunnel(tmp_path, *line.split())
    assert done.returncode == 3, done
    step = "start one with `process-compose up`"
    assert done.stderr == f"windtunnel: no stack is running (state folder {tmp_path}): {step}\n"


@pytest.mark.parametrize(
    "line", ["run hello", "token", "drill", "status", "wait", "scale 2", "drain worker"]
)
def test_a_stopped_process_compose_is_named_at_once_with_what_lets_it_go_on(
    supervised: Settings, line: str
) -> None:
    pid = stop(supervised)
    start = time.monotonic()
    done = windtunnel(supervised.state, *line.split())
    assert time.monotonic() - start < process_compose.ANSWER_SECONDS, "it waited for an answer"
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert f"process-compose (pid {pid}) of this stack is stopped" in done.stderr
    assert f"`kill -CONT {pid}`" in done.stderr


def test_an_api_that_stops_answering_is_explained_by_what_happened_to_the_stack(
    supervised: Settings,
) -> None:
    assert absence.cause(supervised) is None
    pid = stop(supervised)
    assert f"kill -CONT {pid}" in str(absence.cause(supervised))
    gone = load({"WINDTUNNEL_STATE": str(supervised.state.with_name("other"))}, client=False)
    assert "no stack is running" in str(absence.cause(gone))


def test_down_without_a_stack_is_harmless_with_and_without_now(tmp_path: Path) -> None:
    assert [
        windtunnel(tmp_path, *words).returncode for words in (("down",), ("down", "--now"))
    ] == [0, 0]


def test_help_is_shown_without_words_and_says_the_exit_codes(tmp_path: Path) -> None:
    shown = windtunnel(tmp_path)
    assert (
        "124 timed out" in " ".join((shown.stdout + shown.stderr).split())
        and "Traceback" not in shown.stderr
    )
    assert windtunnel(tmp_path, "run", "--help").returncode == 0


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_help_fills_its_lines_at_eighty_columns(name: str, tmp_path: Path) -> None:
    """A line break within a paragraph after the first one is kept as it is."""
    shown = windtunnel(tmp_path, name, "--help", COLUMNS="80").stdout
    text = shown[: shown.index("╭")].splitlines()
    for line, following in itertools.pairwise(text):
        first = following.split()[:1]
        room = 79 - len(line.rstrip())
        assert not line.strip() or not first or len(first[0]) >= room, shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_argument_and_option_of_every_command_is_explained(name: str) -> None:
    assert [p.name for p in COMMANDS[name].params if not getattr(p, "help", None)] == []


def test_the_list_of_scenarios_can_be_had_as_json(tmp_path: Path) -> None:
    data = json.loads(windtunnel(tmp_path, "drill", "--list", "--json").stdout)
    by_default = {s["scenario"]: s["by_default"] for s in data["scenarios"]}
    assert by_default["broker-away"] and not by_default["soak"]


def test_a_result_that_is_not_well_is_the_exit_code(tmp_path: Path) -> None:
    assert windtunnel(tmp_path, "doctor", PATH="/nonexistent").returncode == 1


def test_a_state_folder_that_may_not_be_looked_into_is_not_called_no_stack(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may look everywhere")
    (tmp_path / "run").mkdir(mode=0o000)
    done = windtunnel(tmp_path, "down")
    assert (
        done.returncode == 2 and "permission denied" in done.stderr and done.stderr.count("\n") == 1
    ), done


@pytest.mark.parametrize(
    ("offset", "code", "fault"),
    [("2000", 1, "this stack is running already"), ("3000", 2, "PORT_OFFSET=3000, but the stack")],
)
def test_a_second_up_of_a_project_names_a_contradiction_before_the_running_stack(
    supervised: Settings, tmp_path: Path, offset: str, code: int, fault: str
) -> None:
    supervised.stack_file.write_text('{"port_offset": 2000}')
    (tmp_path / "project" / "dags").mkdir(parents=True)
    project = str(tmp_path / "project")
    done = windtunnel(supervised.state, "up", "--project", project, PORT_OFFSET=offset)
    assert done.returncode == code and fault in done.stderr, done


def test_a_project_that_never_had_a_stack_ends_no_other_folders_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, mine = tmp_path / "windtunnel", tmp_path / "mine"
    for name in ("process-compose.yaml", "airflow-home/airflow.cfg", ".state/secrets/key"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    mine.mkdir()
    for name in ("WINDTUNNEL_STATE", "WINDTUNNEL_PROJECT"):
        monkeypatch.delenv(name, raising=False)

    def type_(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CODE, *words],
            cwd=folder,
            env={**os.environ, "WINDTUNNEL_ROOT": str(checkout), **env},
            capture_output=True,
            text=True,
        )

    derived = dict.fromkeys(
        ("WINDTUNNEL_STATE", "WINDTUNNEL_SHELL_STATE"), str(checkout / ".state")
    )
    for env in ({}, derived):  # without Nix and with it
        refused = type_(mine, "reset", "--yes", **env)
        assert refused.returncode == 2 and "would delete that of" in refused.stderr, refused
    assert (checkout / ".state" / "secrets" / "key").exists()
    start = "process-compose up" if nix_store.holds(sys.prefix) else "windtunnel up"
    assert f"start one with `{start}`" in type_(mine, "status").stderr
    assert type_(mine, "down").returncode == 0, "nothing runs"
    assert "start one with `process-compose up`" in type_(checkout, "status").stderr
    assert type_(checkout, "reset", "--yes").returncode == 0
    assert not (checkout / ".state").exists()
