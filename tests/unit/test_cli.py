"""What a person types wrongly gets one line and exit code 2; a stack that is not there 3; never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    [("run", "'dag_id'"), ("wait --timeout abc", "--timeout"), ("status extra", "extra"), ("down --nov", "--now"), ("scale 1 2", "2"),
     ("scale -1", "'-1'"), ("drain", "'worker'"), ("drill nosuch", "'nosuch'"), ("drill --soak 0", "--soak"),
     ("drill --junit /nonexistent/x.xml broker-away", "--junit"), ("bench --rounds 0", "--rounds"), ("token x", "x"),
     ("reset --no", "--no"), ("reset", "--yes"), ("doctor x", "x"), ("nosuch", "'nosuch'")],
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
    "line", ["run hello", "token", "status", "wait", "scale 2", "drain worker-0"]
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
