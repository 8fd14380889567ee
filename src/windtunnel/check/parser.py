"""The process that parses, seen from the one that asks: its start, its end, questions, answers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from windtunnel.check.target import Target
from windtunnel.errors import WindtunnelError
from windtunnel.project import record
from windtunnel.services import state_folder

#: Airflow is imported within this time. On an idle machine it takes three seconds.
START_SECONDS = 120.0
#: The process ends after its socket was closed.
STOP_SECONDS = 10.0


class Parser:
    """One process with its channel. Everything ends with `stack`."""

    def __init__(self, target: Target, jobs: int, stack: contextlib.ExitStack) -> None:
        self._number = 0
        made = tempfile.TemporaryDirectory(prefix="windtunnel-check-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        objects: list[str] = []
        if target.record is not None:
            # As in a state folder: Airflow's processes of a stack read the same.
            state_folder.write_private(folder / record.NAME, target.record.text())
            objects = [str(target.root / name) for name in target.record.objects]
        self._log = folder / "server.log"
        self._channel, theirs = socket.socketpair()
        stack.callback(self._channel.close)
        with theirs, open(self._log, "wb") as log:
            command = [target.python, "-P", "-m", "windtunnel.check.server", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                cwd=target.root,
                env=target.environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                # Ctrl-C of the terminal is for this process.
                start_new_session=True,
            )
        stack.callback(self._stop)
        self._reader = stack.enter_context(self._channel.makefile("rb"))
        options = {"root": str(target.root), "state": str(folder)}
        self._put({**options, "jobs": jobs, "objects": objects})

    def ready(self) -> dict[str, Any]:
        """What it says of itself when Airflow is imported.

        Raises:
            WindtunnelError: it does not come to that.
        """
        self._channel.settimeout(START_SECONDS)
        try:
            return self.receive()
        except TimeoutError:
            fault = f"Airflow was not imported within {START_SECONDS:g} s{self._last_words()}"
            raise WindtunnelError(f"{fault}: see airflow_local_settings.py and plugins") from None
        finally:
            self._channel.settimeout(None)

    def send(self, question: dict[str, Any]) -> int:
        """Send a question, and return the number that its answer will have."""
        self._number += 1
        self._put({"id": self._number, **question})
        return self._number

    def receive(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            WindtunnelError: the process has ended.
        """
        try:
            line = self._reader.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise self._dead()
        return dict(json.loads(line))

    def _put(self, data: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(data).encode() + b"\n")
        except OSError:
            raise self._dead() from None

    def _stop(self) -> None:
        self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _dead(self) -> WindtunnelError:
        # Its socket closes before it writes why it ends.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        fault = f"the process that imports Airflow has ended{self._last_words()}"
        return WindtunnelError(f"{fault}: correct what it names, then check again")

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last})" if last else ""
