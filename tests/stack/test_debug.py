"""`windtunnel debug`: a task waits on its worker for a debugger, once, and never for ever."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.dap import Debugger
from tests.stack_fixture import NewStack, Stack, until

DAG = """
from airflow.sdk import dag, task


@dag(schedule=None)
def debugged():
    @task(retries=0)
    def before():
        return 0

    @task(retries=0)
    def look(number):
        colour = "red"
        return f"{colour} {number}"

    look(before())


debugged()
"""
#: The line with `return f"{colour} {number}"`.
BREAKPOINT = 1 + DAG.splitlines().index('        return f"{colour} {number}"')

needs_uv = pytest.mark.skipif(shutil.which("uv") is None, reason="uv fetches debugpy")
pytestmark = [needs_uv, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def file(stack: Stack) -> Iterator[Path]:
    """The shared stack with a DAG to debug."""
    file = stack.settings.dags / "debugged.py"
    file.write_text(DAG)
    until("the DAG is known", lambda: stack.airflow.dag("debugged"), 30)
    yield file
    file.unlink()


class Command:
    """A `windtunnel debug` that runs beside the test."""

    def __init__(self, stack: Stack, *words: str) -> None:
        self.process = subprocess.Popen(
            ["windtunnel", "debug", "debugged", *words],
            env=stack.environment,
            cwd=stack.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def port(self) -> int:
        """Where to attach, as the line for VS Code says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.end())
        entry = json.loads(line[line.index("{") :])
        assert entry["request"] == "attach" and entry["justMyCode"] is False
        assert f"127.0.0.1:{entry['connect']['port']}" in self.process.stdout.readline()
        return int(entry["connect"]["port"])

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said


def log(stack: Stack) -> str:
    return stack.command("windtunnel", "logs", "debugged", "latest", "look", check=True).stdout


def nothing_is_left(stack: Stack, port: int) -> None:
    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    until("the port is closed", closed, 10)
    assert list((stack.settings.run / "debug").iterdir()) == []
    ours = str(stack.settings.state)

    def debuggers() -> list[str]:
        lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        return [x for x in lines if ours in x and ("debug_gate" in x or "/debugpy/" in x)]

    until("no process is left", lambda: not debuggers(), 10)


def debug(stack: Stack, file: Path) -> None:
    """The whole of it: attach, stop at a breakpoint, look at a variable, go on to the end."""
    command = Command(stack, "look")
    port = command.port()
    request = stack.settings.run / "debug" / f"taken-{command.process.pid}.json"
    assert request.stat().st_mode & 0o777 == 0o600
    debugger = Debugger(port)
    debugger.attach(file, BREAKPOINT)
    thread = debugger.event("stopped")["threadId"]
    assert debugger.value("colour", thread) == "'red'"
    debugger.ask("continue", threadId=thread)
    debugger.event("terminated")
    debugger.close()
    code, said = command.end()
    assert code == 0, said
    assert "look waits for a debugger, 300 s at most" in said
    assert "a debugger is attached" in said
    assert "a debugger is attached" in log(stack)
    nothing_is_left(stack, port)


def test_a_debugger_attaches_stops_at_a_breakpoint_and_lets_the_task_end(
    stack: Stack, file: Path
) -> None:
    debug(stack, file)
    assert importlib.util.find_spec("debugpy") is None, "it is in the state folder only"


def test_it_needs_no_patch(new_stack: NewStack, tmp_path: Path) -> None:
    file = tmp_path / "debugged.py"
    file.write_text(DAG)
    stack = new_stack(WINDTUNNEL_PATCHES="none", WORKER_CONCURRENCY="2", DAGS_FOLDER=str(tmp_path))
    stack.up()
    until("the DAG is known", lambda: stack.airflow.dag("debugged"), 60)
    debug(stack, file)


def test_without_a_debugger_the_task_goes_on_and_its_log_says_so(stack: Stack, file: Path) -> None:
    command = Command(stack, "look", "--timeout", "2")
    port = command.port()
    code, said = command.end()
    assert code == 0 and "look was not debugged: nobody attached within 2 s" in said, said
    assert "no debugger is attached (nobody attached within 2 s): the task goes on" in log(stack)
    nothing_is_left(stack, port)


def test_a_debugger_that_never_says_goodbye_holds_nothing_up(stack: Stack, file: Path) -> None:
    command = Command(stack, "look")
    port = command.port()
    debugger = Debugger(port)
    debugger.attach(file, 1)
    code, said = command.end()
    assert code == 0, said
    nothing_is_left(stack, port)
    debugger.close()


def test_a_debugger_that_says_nothing_gets_no_more_time_than_none(stack: Stack, file: Path) -> None:
    command = Command(stack, "look", "--timeout", "6")
    port = command.port()
    with socket.create_connection(("127.0.0.1", port)):
        code, said = command.end()
    assert code == 0 and "nobody attached within 6 s" in said, said
    nothing_is_left(stack, port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_command_that_ends_lets_the_task_go_on(
    stack: Stack, file: Path, number: signal.Signals
) -> None:
    command = Command(stack, "look")
    port = command.port()
    run_id = stack.airflow.latest_run("debugged")
    assert run_id is not None and run_id.startswith("debug__")
    command.process.send_signal(number)
    code, _ = command.end()
    assert code == (130 if number == signal.SIGINT else -number)
    assert stack.finished("debugged", run_id, 30) == "success"
    assert "no debugger is attached (`windtunnel debug` has ended)" in log(stack)
    if number == signal.SIGKILL:
        # The next command clears up.
        assert Command(stack, "look", "--timeout", "1").end()[0] == 0
    nothing_is_left(stack, port)


def test_a_task_that_is_failed_by_hand_waits_no_longer(stack: Stack, file: Path) -> None:
    command = Command(stack, "look")
    port = command.port()
    run_id = stack.airflow.latest_run("debugged")
    path = f"/dags/debugged/dagRuns/{run_id}/taskInstances/look"
    stack.airflow.call("PATCH", path, json={"new_state": "failed"})
    code, said = command.end()
    assert code == 1 and "look failed" in said, said
    nothing_is_left(stack, port)


def test_a_worker_that_drains_waits_for_no_debugger(stack: Stack, file: Path) -> None:
    command = Command(stack, "look")
    port = command.port()
    try:
        drained = stack.command("windtunnel", "drain", "worker-0", "--json")
        assert drained.returncode == 0 and json.loads(drained.stdout)["seconds"] < 60
        code, said = command.end()
        assert code == 0 and "the worker drains" in said, said
    finally:
        stack.command("process-compose", "process", "start", "worker-0", check=True)
        stack.command("windtunnel", "wait", "--timeout", "120", check=True)
    nothing_is_left(stack, port)


def test_what_cannot_be_debugged_is_said_before_anything_runs(stack: Stack, file: Path) -> None:
    runs = stack.airflow.latest_run("debugged")
    code, said = Command(stack, "nothing").end()
    assert code == 2 and "debugged has no task 'nothing'; it has before, look" in said, said
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        code, said = Command(stack, "look", "--port", str(port)).end()
    assert code == 1 and f"port {port} is taken by" in said, said
    assert stack.airflow.latest_run("debugged") == runs
