"""`nix run . -- WORDS` reaches the command that is meant."""

from __future__ import annotations

import subprocess
import sys

import pytest

from windtunnel.cli import app
from windtunnel.front import meant


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("", "process-compose up"),
        ("-D", "process-compose up -D"),
        ("up -D", "process-compose up -D"),
        ("up -D --project ../mine", "windtunnel up -D --project ../mine"),
        ("up --project=../mine", "windtunnel up --project=../mine"),
        ("--version", "windtunnel --version"),
        ("process list", "process-compose process list"),
        ("status --json", "windtunnel status --json"),
        ("run hello", "windtunnel run hello"),
        ("scale 3", "windtunnel scale 3"),
        ("drain worker-1", "windtunnel drain worker-1"),
        ("airflow version", f"{sys.executable} -m windtunnel.environment airflow version"),
        ("no-such-command", "windtunnel no-such-command"),
    ],
)
def test_words_after_nix_run_are_the_command_that_has_them(words: str, command: str) -> None:
    assert meant(words.split()) == command.split()


def test_down_stops_the_stack_and_starts_none() -> None:
    assert meant(["down"])[1:] == ["down"]


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help_says_what_can_be_asked(word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "windtunnel.front", word], capture_output=True, text=True, check=True
    )
    words = {word.strip("(:,`") for word in done.stdout.split()}
    registered = app.registered_commands
    commands = {each.name or getattr(each.callback, "__name__", "") for each in registered}
    assert words >= commands | {"-D", "airflow", "--project"}
    assert max(map(len, done.stdout.splitlines())) <= 100
