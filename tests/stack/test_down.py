"""`down` beside other faults: it waits for the tasks in hand, whatever happens meanwhile.

The first test starts the stack of this file, the second one stops it.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_fixture import Stack, read_marks, until
from windtunnel.clients import process_compose
from windtunnel.stack import leftovers
from windtunnel.stack.ports import free_offset
from windtunnel.system import procfs


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for the whole file."""
    made = Stack(tmp_path_factory.mktemp("stack") / "state", free_offset())
    yield made
    made.destroy()


@pytest.fixture
def running(stack: Stack) -> Stack:
    if not process_compose.answers(stack.settings):
        stack.up()
    return stack


def down(stack: Stack) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["windtunnel", "down"],
        env=stack.environment,
        cwd=stack.root,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(marks: Path) -> list[tuple[str, int]]:
    return [(m.event, m.attempt) for m in read_marks(marks) if m.event != "pulse"]


def test_of_two_first_ups_at_once_one_starts_the_stack_and_the_other_one_says_so(
    stack: Stack,
) -> None:
    ups = [
        subprocess.Popen(
            ["process-compose", "up", "-D"],
            env=stack.environment,
            cwd=stack.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [up.communicate(timeout=120)[1] for up in ups]
    assert sorted(up.returncode for up in ups) == [0, 1], said
    [refused] = [text for up, text in zip(ups, said, strict=True) if up.returncode]
    assert "this stack is running already" in refused, said
    assert stack.command("windtunnel", "wait", timeout=300).returncode == 0
    assert stack.run("hello")[1] == "success"


def test_a_stopped_process_compose_is_named_and_down_lets_it_go_on(stack: Stack) -> None:
    server = process_compose.server(stack.settings)
    assert server is not None
    procfs.kill(server, signal.SIGSTOP)
    done = stack.command("windtunnel", "status", timeout=30)
    assert done.returncode == 1, done
    assert f"kill -CONT {server.pid}" in done.stderr, done.stderr
    assert stack.command("windtunnel", "down", timeout=60).returncode == 0
    assert leftovers.find(stack.settings) == []


def test_a_service_that_dies_while_down_waits_comes_back_and_the_task_ends_once(
    running: Stack, marks: Path
) -> None:
    run_id = running.trigger("steady", seconds=20, marks=marks)
    until("the task runs", lambda: read_marks(marks))
    waiting = down(running)
    until("the worker drains", lambda: running.supervisor("worker-0").get("state") == "draining")
    server = procfs.read(running.compose.process("api-server").pid)
    assert server is not None and procfs.kill(server)
    assert waiting.wait(90) == 0, waiting.stderr
    assert leftovers.find(running.settings) == []

    running.up()
    assert running.finished("steady", run_id) == "success"
    assert ran(marks) == [("start", 1), ("end", 1)]


def test_a_stack_whose_socket_is_gone_is_drained_and_never_killed(
    running: Stack, marks: Path
) -> None:
    """Something cleaned the folder of a socket that lies outside the state folder."""
    running.trigger("steady", seconds=20, marks=marks)
    until("the task runs", lambda: read_marks(marks))
    running.settings.socket.unlink()
    refused = running.command("process-compose", "up", "-D", timeout=60)
    assert refused.returncode == 1 and "its socket is gone" in refused.stderr, refused
    waiting = down(running)
    assert waiting.wait(90) == 0, waiting.stderr
    assert ran(marks) == [("start", 1), ("end", 1)]
    assert leftovers.find(running.settings) == []


def test_without_its_process_compose_the_tasks_are_named_that_end_with_the_stack(
    running: Stack, marks: Path
) -> None:
    running.trigger("steady", seconds=3600, marks=marks)
    until("the task runs", lambda: read_marks(marks))
    server = process_compose.server(running.settings)
    assert server is not None and procfs.kill(server)
    until("it is gone", lambda: not process_compose.answers(running.settings))
    status = running.command("windtunnel", "status")
    assert status.returncode == 3
    assert "process-compose has died" in status.stderr and "steady.work" in status.stderr
    done = running.command("windtunnel", "down", timeout=60)
    assert done.returncode == 0 and "cuts off: steady.work" in done.stderr, done
    assert leftovers.find(running.settings) == []
