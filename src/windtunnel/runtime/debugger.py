"""The worker's side of `windtunnel debug`: one try of one task waits for a debugger.

A pool child takes the request just before its task. The task's process then adds a listener to
Airflow's own listener manager, as a plugin would. So a worker that nobody debugs loads no plugin,
no debugpy and no listener for it. Airflow calls the listener after the DAG file is read and the
templates are rendered, just before the task executes.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pluggy

from windtunnel.ledger import debug_request
from windtunnel.ledger.debug_request import ATTACHED, LISTENING, OVER, Request
from windtunnel.runtime import debug_gate

log = logging.getLogger("windtunnel.debugger")
hookimpl = pluggy.HookimplMarker("airflow")
#: Between two looks whether the debugger has set its breakpoints and lets the task go on.
LOOK_SECONDS = 0.1

_pending: Request | None = None


def take(run: Path, task: Mapping[str, Any]) -> None:
    """In the pool child, just before the task."""
    global _pending
    _pending = debug_request.take(run, task)


def forget() -> None:
    """In the pool child, after the task."""
    global _pending
    _pending = None


def arm() -> None:
    """In the task's new process."""
    if _pending is None:
        return
    try:
        from airflow.sdk.listener import get_listener_manager
    except ImportError:  # Airflow before 3.2
        from airflow.listeners.listener import get_listener_manager
    taken = debug_request.taken_by(Path(os.environ["WINDTUNNEL_STATE"]) / "run", _pending.pid)
    get_listener_manager().add_listener(Listener(_pending, taken))


class Listener:
    """Waits once. Whatever fails, the task goes on."""

    def __init__(self, request: Request, taken: Path) -> None:
        self.request = request
        self.taken = taken
        self.gate: subprocess.Popen[str] | None = None

    @hookimpl
    def on_task_instance_running(self) -> None:
        if self.gate is None:
            try:
                why = self._wait()
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
            if why:
                log.warning("no debugger is attached (%s): the task goes on", why)
                debug_request.tell(self.taken, OVER, why)
                self._close()

    def _close(self) -> None:
        """Ends the gate, if it has not ended."""
        if self.gate is not None and self.gate.stdin is not None:
            self.gate.stdin.close()

    def _wait(self) -> str:
        """Returns when a debugger is attached, with an empty text, or why none is."""
        command = [sys.executable, "-P", "-m", "windtunnel.runtime.debug_gate", str(self.taken)]
        pipe = subprocess.PIPE
        # It lives as long as the debugger is attached; its end is the end of this process's pipe.
        gate = self.gate = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        assert gate.stdin is not None and gate.stdout is not None
        for line in gate.stdout:
            word, _, text = line.strip().partition(" ")
            if word == debug_gate.LISTENING:
                self._tell_that_it_waits()
            elif word == debug_gate.REFUSED:
                log.warning("a debugger of %s was refused", text)
            elif word == debug_gate.OVER:
                return text
            elif word == debug_gate.CLIENT:
                gate.stdin.write(f"{self._start_debugpy()}\n")
                if self._configured(gate):
                    gate.stdin.write(f"{debug_gate.ATTACHED.decode()}\n")
                    log.info("a debugger is attached")
                    debug_request.tell(self.taken, ATTACHED)
                    return ""
        return "the gate for debuggers ended"

    def _tell_that_it_waits(self) -> None:
        place = f"127.0.0.1:{self.request.port}"
        log.info("waiting for a debugger at %s, %g s at most", place, self.request.seconds)
        debug_request.tell(self.taken, LISTENING)

    def _start_debugpy(self) -> int:
        """Its port, which only the gate uses."""
        # Last: debugpy must replace no module of the project.
        sys.path.append(self.request.package)
        try:
            import debugpy
        finally:
            sys.path.remove(self.request.package)
        # A debugger of a child process could not pass the gate.
        debugpy.configure(subProcess=False)
        _, port = debugpy.listen(("127.0.0.1", 0))
        return int(port)

    def _configured(self, gate: subprocess.Popen[str]) -> bool:
        """Waits until the debugger has set its breakpoints; False if the gate has news first."""
        import debugpy

        while not debugpy.is_client_connected():
            assert gate.stdout is not None
            if select.select([gate.stdout], [], [], LOOK_SECONDS)[0]:
                return False
        return True
