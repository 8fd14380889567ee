"""`python -m windtunnel.runtime.debug_gate TAKEN`: the door between a debugger and one task.

The task that `windtunnel debug` names starts it. It listens on 127.0.0.1 while the command waits,
lets in processes of the task's own user only, and passes the bytes on to debugpy. Without this gate
debugpy would let in every user of the machine, also after the first debugger has gone: it has no
password. A process of its own, because a debugger stops the threads of the task.

It writes one line for each step to the task, and reads debugpy's port and `attached` from it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from windtunnel.ledger import debug_request
from windtunnel.ledger.debug_request import Request
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.system import listeners, loopback, procfs
from windtunnel.system.procfs import Process

#: The words of a line to the task.
LISTENING, CLIENT, REFUSED, OVER = "listening", "client", "refused", "over"
#: The only word from the task, after debugpy's port.
ATTACHED = b"attached"
#: Between two looks whether the task should still wait.
LOOK_SECONDS = 0.5
#: debugpy says good-bye to the debugger when the task ends; after this time the door is closed.
GOODBYE_SECONDS = 1.0
STDIN = 0


class _Over(Exception):
    """The task waits no longer; the text says why."""


class Gate:
    def __init__(self, taken: Path, request: Request) -> None:
        self.taken = taken
        self.request = request
        self.end = time.monotonic() + request.seconds
        self.server = _listen(request.port)
        self.attached = False
        self.adapter_port = 0
        #: debugpy's own process between the task and a debugger.
        self.adapter: Process | None = None

    def run(self) -> None:
        """Returns when a debugger that was attached has gone."""
        with self.server:
            _say(LISTENING)
            # A debugger that leaves before it lets the task go on may come again; afterwards not.
            while not self.attached:
                client = self._accept()
                if client is None:
                    continue
                with client, contextlib.suppress(ConnectionError):
                    self._find_adapter()
                    address = ("127.0.0.1", self.adapter_port)
                    with socket.create_connection(address, timeout=LOOK_SECONDS) as adapter:
                        adapter.settimeout(None)
                        self._pass_on(client, adapter)

    def close(self) -> None:
        """Ends debugpy's adapter, which would go on to listen."""
        if self.adapter is not None:
            procfs.kill(self.adapter)

    def _require_wait(self) -> None:
        """Raises _Over when the task should go on."""
        files = WorkerFiles.of_this_process()
        if time.monotonic() > self.end:
            raise _Over(f"nobody attached within {self.request.seconds:g} s")
        if not self.taken.exists() or not self.request.is_wanted():
            raise _Over("`windtunnel debug` has ended")
        if files is not None and files.stopping.exists():
            raise _Over("the worker drains")

    def _accept(self) -> socket.socket | None:
        """The next debugger; None for a stranger, or for news of the task."""
        readable: list[Any] = []
        while not readable:
            self._require_wait()
            sources: list[Any] = [self.server, STDIN]
            readable, _, _ = select.select(sources, [], [], LOOK_SECONDS)
        if STDIN in readable:
            self._hear()
            return None
        client, _ = self.server.accept()
        self._require_wait()
        user = loopback.user(client)
        if user not in (os.geteuid(), 0):
            client.close()
            _say(REFUSED, f"user {user}" if user is not None else "an unknown user")
            return None
        return client

    def _hear(self) -> None:
        """Reads a word of the task. Raises _Over when it has ended."""
        if not os.read(STDIN, 100).startswith(ATTACHED):
            raise _Over("the task has ended")
        self.attached = True
        # Nobody else may come in.
        self.server.close()

    def _find_adapter(self) -> None:
        if not self.adapter_port:
            _say(CLIENT)
            # debugpy starts meanwhile. An empty text is the end of the task.
            self.adapter_port = int(os.read(STDIN, 100) or b"0")
            if not self.adapter_port:
                raise _Over("debugpy did not start")
            pid = listeners.by_port().get(self.adapter_port)
            if pid is not None and pid != os.getppid():  # never the task itself
                self.adapter = procfs.read(pid)

    def _pass_on(self, client: socket.socket, adapter: socket.socket) -> None:
        """Passes bytes on in both directions until one side closes. Raises: as `_hear`."""
        other = {client: adapter, adapter: client}
        watched: list[Any] = [client, adapter, STDIN]
        over: _Over | None = None
        while over is None or time.monotonic() < self.end:
            readable, _, _ = select.select(watched, [], [], LOOK_SECONDS)
            if not self.attached:
                self._require_wait()
            for source in readable:
                if source is not STDIN:
                    data = source.recv(65536)
                    if not data:
                        return
                    other[source].sendall(data)
                    continue
                try:
                    self._hear()
                except _Over as ended:
                    over = ended
                    self.end = time.monotonic() + GOODBYE_SECONDS
                    watched.remove(STDIN)
        raise over


def _listen(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def _say(word: str, text: str = "") -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{word} {text}".strip().encode() + b"\n")


def main(taken: Path) -> None:
    request = debug_request.read(taken)
    if request is None:
        _say(OVER, "its request is gone")
        return
    gate: Gate | None = None
    try:
        gate = Gate(taken, request)
        gate.run()
    except _Over as over:
        _say(OVER, str(over))
    except (OSError, ValueError) as error:
        _say(OVER, f"127.0.0.1:{request.port}: {error}")
    finally:
        if gate is not None:
            gate.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
