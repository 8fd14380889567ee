"""A task waits for a debugger: who may come in, and what ends the wait. debugpy is played."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.stack_fixture import until
from windtunnel.ledger import debug_request, ledger
from windtunnel.ledger.debug_request import Request
from windtunnel.system import procfs

#: Like debugpy, it listens; `go` is what a debugger says when its breakpoints are set.
DEBUGPY = """
import socket, threading
said = b""
def configure(**options): assert options == {"subProcess": False}
def is_client_connected(): return b"go" in said
def listen(address):
    server = socket.create_server(address)
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return server.getsockname()
def serve(server):
    global said
    while True:
        client, _ = server.accept()
        client.sendall(b"hello")
        while data := client.recv(100):
            said += data
            client.sendall(b"heard " + data)
"""
#: A task's process at the moment when Airflow calls its listeners.
TASK = """
import logging, sys
from pathlib import Path
from windtunnel.ledger import debug_request
from windtunnel.runtime.debugger import Listener
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
taken = Path(sys.argv[1])
listener = Listener(debug_request.read(taken), taken)
listener.on_task_instance_running()
listener.on_task_instance_running()
print("the task goes on its way", flush=True)
sys.stdin.read()
"""


class Task:
    """A process that waits for a debugger."""

    def __init__(self, folder: Path, seconds: float, port: int | None = None) -> None:
        (folder / "package").mkdir()
        (folder / "package" / "debugpy.py").write_text(DEBUGPY)
        (folder / "run" / "debug").mkdir(parents=True)
        self.run = folder / "run"
        me = procfs.read(os.getpid())
        assert me is not None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = port or free.getsockname()[1]
        package = str(folder / "package")
        request = Request("d", "r", "t", -1, 1, self.port, seconds, package, me.pid, me.start)
        self.taken = debug_request.taken_by(self.run, me.pid)
        ledger.write(self.taken, asdict(request))
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TASK, str(self.taken)],
            env={**os.environ, "WINDTUNNEL_STATE": str(folder), "WINDTUNNEL_WORKER": "worker-0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def state(self) -> dict[str, Any]:
        found = ledger.read(self.taken)
        return {name: found.get(name) for name in ("state", "why")}

    def listens(self) -> None:
        until("it waits", lambda: self.state()["state"] == "listening", 30, 0.02)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def goes_on(self) -> list[str]:
        """All that it said until it went on."""
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line.strip())
            if said[-1] == "the task goes on its way":
                return said
        raise AssertionError(said)

    def is_closed(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return True
        return False


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Any]:
    made: list[Task] = []

    def make(seconds: float = 60.0, port: int | None = None) -> Task:
        made.append(Task(tmp_path, seconds, port))
        return made[-1]

    yield make
    for task in made:
        task.process.kill()
        task.process.communicate()


def heard(connection: socket.socket, text: bytes) -> None:
    found = b""
    while text not in found:
        data = connection.recv(100)
        assert data, found
        found += data


def test_a_debugger_is_let_in_once_and_then_the_door_is_closed(tasks: Any) -> None:
    task = tasks()
    task.listens()
    with task.connect() as debugger:
        heard(debugger, b"hello")
        assert not task.is_closed(), "it may leave and come again before the task goes on"
        debugger.sendall(b"go")
        said = task.goes_on()
        assert task.state() == {"state": "attached", "why": ""}
        assert "a debugger is attached" in said
        debugger.sendall(b"more")
        heard(debugger, b"heard more")
        until("the door is closed", task.is_closed, 10)


def test_a_debugger_may_leave_before_the_task_goes_on_and_come_again(tasks: Any) -> None:
    task = tasks()
    task.listens()
    with task.connect() as debugger:
        heard(debugger, b"hello")
    with task.connect() as debugger:
        heard(debugger, b"hello")
        debugger.sendall(b"go")
        task.goes_on()
        assert task.state()["state"] == "attached"


def test_nobody_comes(tasks: Any) -> None:
    task = tasks(seconds=1.5)
    said = task.goes_on()
    assert time.monotonic() - task.start >= 1.5
    assert task.state() == {"state": "over", "why": "nobody attached within 1.5 s"}
    assert "no debugger is attached (nobody attached within 1.5 s): the task goes on" in said
    assert task.is_closed()


def test_a_debugger_that_says_nothing_is_nobody(tasks: Any) -> None:
    task = tasks(seconds=3)
    task.listens()
    with task.connect():
        task.goes_on()
    assert task.state()["why"] == "nobody attached within 3 s"


@pytest.mark.parametrize("connected", [False, True], ids=["nobody", "a debugger"])
def test_the_end_of_the_command_ends_the_wait(tasks: Any, connected: bool) -> None:
    task = tasks()
    task.listens()
    debugger = task.connect() if connected else None
    if debugger:
        heard(debugger, b"hello")
    task.taken.unlink()
    said = task.goes_on()
    assert any("`windtunnel debug` has ended" in line for line in said)
    assert not task.taken.exists()


def test_a_drain_of_the_worker_ends_the_wait(tasks: Any) -> None:
    task = tasks()
    task.listens()
    folder = task.run / "workers" / "worker-0"
    folder.mkdir(parents=True)
    (folder / "stopping").touch()
    task.goes_on()
    assert task.state()["why"] == "the worker drains"


def test_a_taken_port_does_not_stop_the_task(tasks: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        task = tasks(port=holder.getsockname()[1])
        task.goes_on()
    assert "Address already in use" in task.state()["why"]


def test_a_debugpy_that_cannot_be_loaded_does_not_stop_the_task(tasks: Any) -> None:
    task = tasks()
    task.listens()
    package = task.run.parent / "package" / "debugpy.py"
    package.write_text("raise ImportError('no debugpy')")
    task.connect()
    task.goes_on()
    assert task.state()["why"] == "ImportError: no debugpy"
    until("the door is closed", task.is_closed, 10)


def test_another_user_is_refused(tasks: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    task = tasks()
    task.listens()
    code = f"import socket; print(socket.create_connection(('127.0.0.1', {task.port})).recv(9))"
    command = ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/env", "python3", "-c"]
    stranger = subprocess.run([*command, code], capture_output=True, text=True, timeout=30)
    assert stranger.stdout.strip() == "b''", stranger
    with task.connect() as debugger:
        debugger.sendall(b"go")
        said = task.goes_on()
    assert "a debugger of user 65534 was refused" in said


def test_the_gate_ends_with_its_task(tasks: Any) -> None:
    task = tasks()
    task.listens()
    task.process.kill()
    until("the door is closed", task.is_closed, 10)
