"""The launcher named process-compose: what it passes on, what it answers itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.unit.small_stack import stop
from windtunnel.clients import process_compose
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Settings, socket_path
from windtunnel.stack import real_binary, scale


@pytest.fixture
def fake(tmp_path: Path) -> dict[str, str]:
    """An environment in which the real binary prints its arguments and what it was given."""
    real = tmp_path / "bin" / "process-compose"
    real.parent.mkdir()
    real.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo v1.120.0 && exit\n[ "$1" = --help=true ] && exit\n'
        'echo "$@"\nenv | grep "^PC_"\nexit 7\n'
    )
    real.chmod(0o755)
    return {
        **os.environ,
        "WINDTUNNEL_PROCESS_COMPOSE": str(real),
        "WINDTUNNEL_STATE": str(tmp_path / "state"),
    }


def launch(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from windtunnel.stack.launcher import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_command_that_needs_no_stack_reaches_the_real_binary_with_its_exit_code(
    fake: dict[str, str],
) -> None:
    done = launch(fake, "recipe", "search", "ascii")
    assert done.returncode == 7
    assert done.stdout.splitlines()[0] == "recipe search ascii"


def test_the_real_binary_is_told_socket_file_and_that_there_is_no_terminal(
    fake: dict[str, str],
) -> None:
    told = dict(line.split("=", 1) for line in launch(fake, "recipe").stdout.splitlines()[1:])
    assert told["PC_SOCKET_PATH"] == str(socket_path(Path(fake["WINDTUNNEL_STATE"])))
    assert told["PC_CONFIG_FILES"].endswith("process-compose.yaml")
    assert (told["PC_DISABLE_DOTENV"], told["PC_DISABLE_TUI"]) == ("1", "1")


def test_nothing_is_left_in_the_temporary_folder(fake: dict[str, str], tmp_path: Path) -> None:
    """process-compose opens a log in it at every start, unless told of another place."""
    real = Path(fake["WINDTUNNEL_PROCESS_COMPOSE"])
    real.write_text(
        real.read_text().replace(
            "#!/bin/sh\n", '#!/bin/sh\n: >"${PC_LOG_FILE:-$TMPDIR/process-compose-root.log}"\n'
        )
    )
    (tmp_path / "tmp").mkdir()
    assert launch(fake | {"TMPDIR": str(tmp_path / "tmp")}, "recipe").returncode == 7
    assert list((tmp_path / "tmp").iterdir()) == []


def test_help_is_the_real_binary_s_own(fake: dict[str, str]) -> None:
    assert launch(fake, "up", "--help").stdout.splitlines()[0] == "up --help"


@pytest.mark.parametrize(
    "words", [["process", "list"], ["process", "scale", "worker", "2"], ["attach"], ["graph"]]
)
def test_a_client_command_without_a_stack_ends_with_three(
    fake: dict[str, str], words: list[str]
) -> None:
    done = launch(fake, *words)
    assert done.returncode == 3 and "no stack is running" in done.stderr and not done.stdout


@pytest.fixture
def real(supervised: Settings) -> dict[str, str]:
    """An environment with the real process-compose and a stack that runs."""
    return {**os.environ, "WINDTUNNEL_STATE": str(supervised.state)}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("up --nosuch", "unknown flag: --nosuch: see `process-compose up --help`"),
        ("-D --nosuch", "unknown flag: --nosuch: see `process-compose --help`"),
        ("up -f", "flag needs an argument: 'f' in -f: see `process-compose up --help`"),
        ("up nosuch", "no such process: nosuch: see `process-compose up --help`"),
        ("nosuch", 'unknown command "nosuch" for "process-compose"'),
        ("process list --nosuch", "--nosuch: see `process-compose list --help`"),
        ("process scale worker 1 --nosuch", "unknown flag: --nosuch"),
        ("process nosuch", "there is no process-compose process nosuch"),
        ("process logs nosuch", "there is no process 'nosuch'; there are scheduler, worker"),
        ("process stop nosuch", "there is no process 'nosuch'; there are scheduler, worker"),
        ("process start", "the name of a process is missing; there are scheduler, worker"),
    ],
)
def test_a_mistake_is_said_in_one_line_and_not_that_the_stack_runs_already(
    real: dict[str, str], line: str, fault: str
) -> None:
    done = launch(real, *line.split())
    assert done.returncode == 2 and not done.stdout, done
    assert fault in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_file_that_cannot_be_used_is_said_with_the_command_that_checks_it(
    real: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("processes: 1")
    done = launch(real, "up", "-f", str(tmp_path / "broken.yaml"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert "process-compose: " in done.stderr and "up --dry-run" in done.stderr


@pytest.mark.parametrize(
    ("variables", "code", "fault"),
    [
        ({}, 1, "this stack is running already"),
        ({"WORKERS": "many"}, 2, "WORKERS='many' is not a number of workers"),
        ({"PORT_OFFSET": "3000"}, 2, "PORT_OFFSET=3000, but the stack of"),
        ({"PORT_OFFSET": "2000"}, 1, "this stack is running already"),
    ],
)
def test_a_second_up_names_a_wrong_variable_before_the_running_stack(
    real: dict[str, str],
    supervised: Settings,
    variables: dict[str, str],
    code: int,
    fault: str,
) -> None:
    supervised.stack_file.write_text('{"port_offset": 2000}')
    del real["PORT_OFFSET"]
    done = launch(real | variables, "up", "-D")
    assert done.returncode == code and fault in done.stderr, done


@pytest.mark.parametrize(
    "words", [["up", "-D"], ["process", "list"], ["process", "logs", "worker"]]
)
def test_a_stopped_process_compose_is_named_by_the_launcher_too(
    real: dict[str, str], supervised: Settings, words: list[str]
) -> None:
    pid = stop(supervised)
    done = launch(real, *words)
    assert done.returncode == 1 and f"`kill -CONT {pid}` lets it go on" in done.stderr, done


def test_celery_s_name_of_a_worker_is_understood_by_every_command(real: dict[str, str]) -> None:
    done = launch(real, "process", "restart", "worker-0")
    assert (done.returncode, done.stdout) == (0, "Process worker restarted\n"), done


@pytest.mark.parametrize("words", [["down", ""], ["up", ""], ["process", "s"]])
def test_a_shell_that_completes_a_word_starts_and_stops_nothing(
    fake: dict[str, str], words: list[str]
) -> None:
    done = launch(fake, "__complete", *words)
    assert done.stdout.splitlines()[0].split() == ["__complete", *" ".join(words).split()]
    assert not Path(fake["WINDTUNNEL_STATE"]).exists()


def test_down_without_a_stack_is_harmless(fake: dict[str, str]) -> None:
    assert launch(fake, "down").returncode == 0


def test_down_refuses_what_it_does_not_know(fake: dict[str, str]) -> None:
    done = launch(fake, "down", "--nwo")
    assert done.returncode == 2
    assert "process-compose down takes only --now, not --nwo" in done.stderr


def test_the_binary_that_a_released_wheel_carries_comes_before_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WINDTUNNEL_PROCESS_COMPOSE", raising=False)
    carried = tmp_path / "windtunnel" / "programs" / "process-compose"
    carried.parent.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for path in (carried, tmp_path / "bin" / "process-compose"):
        path.write_text("#!/bin/sh\necho v1.120.0\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert real_binary.real_binary() == str(tmp_path / "bin" / "process-compose")
    monkeypatch.setattr(
        real_binary, "__file__", str(tmp_path / "windtunnel" / "stack" / "real_binary.py")
    )
    assert real_binary.real_binary() == str(carried)


def test_a_windtunnel_from_a_checkouts_folder_finds_what_dev_built_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "ein Ort" / ".tools" / "process-compose-12"
    built.parent.mkdir(parents=True)
    built.write_text("#!/bin/sh\necho v1.120.0\n")
    built.chmod(0o755)
    monkeypatch.delenv("WINDTUNNEL_PROCESS_COMPOSE", raising=False)
    monkeypatch.setenv("PATH", "")
    urls: dict[str, Any] = {"url": (tmp_path / "ein Ort").as_uri(), "dir_info": {}}
    known = metadata.distribution("windtunnel")
    monkeypatch.setattr(type(known), "read_text", lambda *_: json.dumps(urls))
    assert real_binary.real_binary() == str(built)
    for other in ({"url": "https://example.org/a.whl"}, {"dir_info": {"editable": True}}):
        monkeypatch.setattr(type(known), "read_text", lambda *_, o=other: json.dumps(urls | o))
        with pytest.raises(WindtunnelError, match=r"not installed: run \./dev once"):
            real_binary.real_binary()


def test_the_windtunnel_of_a_projects_environment_finds_what_dev_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may call it without `./dev`, which would name the binary."""
    built = tmp_path / "checkout" / ".tools" / "process-compose-12"
    built.parent.mkdir(parents=True)
    built.write_text("#!/bin/sh\necho v1.120.0\n")
    built.chmod(0o755)
    (tmp_path / "checkout" / "pyproject.toml").touch()
    module = tmp_path / "checkout" / "src" / "windtunnel" / "stack" / "real_binary.py"
    monkeypatch.setattr(real_binary, "__file__", str(module))
    monkeypatch.delenv("WINDTUNNEL_PROCESS_COMPOSE", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "p" / ".windtunnel" / "environments" / "1f"))
    assert real_binary.real_binary() == str(built)


def test_without_the_real_binary_the_next_step_is_named(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "WINDTUNNEL_PROCESS_COMPOSE"} | {
        "PATH": str(tmp_path)
    }
    done = launch(env | {"WINDTUNNEL_STATE": str(tmp_path)}, "recipe")
    assert done.returncode == 1 and "./dev" in done.stderr


@pytest.mark.parametrize(
    ("name", "node"), [("worker", "worker-0"), ("worker-1", "worker-1"), ("worker-07", "worker-7")]
)
def test_process_compose_s_changing_names_map_to_one_celery_node(name: str, node: str) -> None:
    assert process_compose.is_worker(name) and process_compose.node(name) == node


@pytest.mark.parametrize("name", ["worker-heavy", "workers", "worker-", "flower"])
def test_other_processes_are_no_replicas_of_worker(name: str) -> None:
    assert not process_compose.is_worker(name)


@pytest.mark.parametrize("word", ["0", "-1", "abc", "", "1.5", "101"])
def test_a_count_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="number of workers"):
        scale.parse_count(word)
