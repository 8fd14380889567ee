"""Bad input gets one clear line and a non-zero exit within seconds, and loses nothing."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.stack_fixture import NewStack, Stack, until
from windtunnel.stack import leftovers

LIMIT = 5.0


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> str:
    """The one line that a command was refused with."""
    lines = [line for line in done.stderr.strip().splitlines() if line]
    assert done.returncode not in (0, 124), done
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in lines[0], lines[0]
    return lines[0]


@pytest.fixture
def cold(new_stack: NewStack) -> Stack:
    """A stack that is not started."""
    return new_stack()


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERS", "0"), ("WORKERS", "-1"), ("WORKERS", "abc"), ("PORT_OFFSET", "many"), ("PORT_OFFSET", "70000"), ("PORT_OFFSET", "-5"),
     ("WORKER_CONCURRENCY", "0"), ("WORKER_DRAIN_SECONDS", "soon"), ("BROKER", "kafka"), ("WORKER_MAX_TASKS_PER_CHILD", "abc")],
)  # fmt: skip
def test_a_variable_that_cannot_be_used_is_named(cold: Stack, name: str, value: str) -> None:
    start = time.monotonic()
    cold.variables[name] = value
    line = refused(cold.command("process-compose", "up", "-D"), name, value)
    assert time.monotonic() - start < LIMIT and "unset it" in line
    assert leftovers.find(cold.settings) == []


def test_a_taken_port_is_said_with_its_holder_and_the_variable(cold: Stack) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", cold.settings.ports.flower))
        holder.listen()
        start = time.monotonic()
        line = refused(
            cold.command("process-compose", "up", "-D"),
            str(cold.settings.ports.flower),
            f"pid {os.getpid()}",
            "PORT_OFFSET=",
        )
        assert time.monotonic() - start < LIMIT and "flower" in line
    assert leftovers.find(cold.settings) == []


def test_a_state_folder_that_cannot_be_written_is_named(cold: Stack) -> None:
    refused(
        cold.command("process-compose", "up", "-D", WINDTUNNEL_STATE="/proc/none"),
        "/proc/none",
        "WINDTUNNEL_STATE",
    )


def test_a_database_of_another_postgresql_is_kept_and_named(cold: Stack) -> None:
    cold.command("python", "-m", "windtunnel.services.prepare", check=True)
    version = cold.settings.state / "postgres" / "PG_VERSION"
    version.write_text("12\n")
    refused(cold.command("process-compose", "up", "-D"), "PostgreSQL 12", "windtunnel reset")
    assert (cold.settings.state / "postgres" / "base").is_dir()


def test_a_damaged_secret_is_named_and_kept(cold: Stack) -> None:
    cold.command("python", "-m", "windtunnel.services.prepare", check=True)
    secret = cold.settings.secrets / "postgres-password"
    secret.write_bytes(b"\x00\xff")
    refused(cold.command("process-compose", "up", "-D"), "postgres-password", "damaged")
    assert secret.read_bytes() == b"\x00\xff"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "words",
    [("windtunnel", "wait"), ("windtunnel", "status"), ("windtunnel", "run", "hello"), ("windtunnel", "scale", "2"),
     ("windtunnel", "drain", "worker-0"), ("process-compose", "process", "list"), ("process-compose", "process", "scale", "worker", "2")],
)  # fmt: skip
def test_commands_without_a_stack_say_so_with_exit_code_three(
    cold: Stack, words: tuple[str, ...]
) -> None:
    cold.command("python", "-m", "windtunnel.services.prepare", check=True)
    done = cold.command(*words)
    refused(done)
    assert done.returncode == 3


def test_a_process_compose_that_is_too_old_is_refused(cold: Stack, tmp_path: Path) -> None:
    old = tmp_path / "process-compose"
    old.write_text("#!/bin/sh\necho v1.87.0\n")
    old.chmod(0o755)
    refused(
        cold.command("process-compose", "up", "-D", WINDTUNNEL_PROCESS_COMPOSE=str(old)),
        "1.87",
        "1.103",
    )


def test_an_unknown_dag_is_named_with_the_nearest_known_one(stack: Stack) -> None:
    start = time.monotonic()
    done = stack.command("windtunnel", "run", "helo")
    assert time.monotonic() - start < LIMIT and done.returncode == 2
    refused(done, "'helo'", "'hello'")


@pytest.mark.parametrize("conf", ["{", "[1]"])
def test_parameters_that_are_not_a_json_object_are_refused(stack: Stack, conf: str) -> None:
    refused(stack.command("windtunnel", "run", "hello", "--conf", conf), "--conf")


def test_a_dag_that_cannot_be_imported_is_shown_by_status_and_run(stack: Stack) -> None:
    broken = stack.settings.dags / "broken.py"
    broken.write_text("import a_package_that_is_not_there\nfrom airflow.sdk import dag\n")
    try:
        until(
            "status shows it",
            lambda: any("broken.py" in p["part"] for p in stack.status()["problems"]),
            30,
        )
        (problem,) = (p for p in stack.status()["problems"] if "broken.py" in p["part"])
        assert "a_package_that_is_not_there" in problem["what"]
        refused(
            stack.command("windtunnel", "run", "broken"), "broken.py", "a_package_that_is_not_there"
        )
    finally:
        broken.unlink()
    until("it is forgotten", lambda: not stack.status()["import_errors"], 60)
