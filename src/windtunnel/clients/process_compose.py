"""Client of process-compose: its REST API over the stack's unix socket.

Source of the paths: src/api/routes.go of process-compose v1.120.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from windtunnel.clients import loopback_http, other_airflow
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import Settings, is_running
from windtunnel.system import procfs

#: These processes run only when a person starts them.
OPTIONAL = frozenset({"worker-heavy"})
#: process-compose answers a question within milliseconds.
ANSWER_SECONDS = 5.0


def answers(settings: Settings) -> bool:
    """Whether a process-compose listens on this stack's socket."""
    return is_running(settings.state)


def server(settings: Settings) -> procfs.Process | None:
    """The process-compose that listens on this stack's socket.

    The kernel names the process (SO_PEERCRED, unix(7)).
    """
    size = struct.calcsize("3i")
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(settings.socket))
        except OSError:
            return None
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, _, _ = struct.unpack("3i", credentials)
    return procfs.read(pid)


def require(settings: Settings) -> None:
    """The check of every command that needs a running stack; each error names the next step.

    Raises:
        NoStackError: no stack is running.
        WindtunnelError: its process-compose is stopped, so it answers nobody.
    """
    if not answers(settings):
        raise _no_stack(settings)
    if found := stopped(settings):
        fault = f"process-compose (pid {found.pid}) of this stack is stopped"
        raise WindtunnelError(f"{fault}: `kill -CONT {found.pid}` lets it go on")


def stopped(settings: Settings) -> procfs.Process | None:
    """This stack's process-compose, if Ctrl-Z, SIGSTOP or a debugger stopped it."""
    found = server(settings)
    return found if found and found.state in "Tt" else None


def _no_stack(settings: Settings) -> NoStackError:
    fault = f"no stack is running (state folder {settings.state})"
    if other := other_airflow.running(settings):
        return NoStackError(f"{fault}, but {other}")
    return NoStackError(f"{fault}: start one with `{settings.start_command}`")


def _silent(settings: Settings) -> WindtunnelError:
    try:
        require(settings)
    except WindtunnelError as error:
        return error
    found = server(settings)
    who = f"process-compose (pid {found.pid})" if found else "process-compose"
    fault = f"{who} has not answered for {ANSWER_SECONDS:.0f} s"
    return WindtunnelError(f"{fault}: see {settings.logs / 'process-compose.log'}")


@dataclass(frozen=True)
class Process:
    """One row of `process-compose process list`. Age in nanoseconds."""

    name: str
    status: str
    is_running: bool
    is_ready: str
    pid: int
    exit_code: int
    restarts: int
    age: int

    @property
    def off(self) -> bool:
        """Not part of the stack now: disabled, or an optional worker that was stopped again."""
        stopped = not self.is_running and self.exit_code == 0
        return self.status == "Disabled" or (self.name in OPTIONAL and stopped)

    def has_name(self, name: str) -> bool:
        """Whether process-compose or Celery calls it so."""
        return name in (self.name, node(self.name))

    @classmethod
    def of(cls, row: dict[str, Any]) -> Process:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})


class Compose:
    """process-compose of one stack.

    Every call raises `NoStackError` when nothing listens, and `WindtunnelError` when
    process-compose refuses, or gives no answer to a question within `ANSWER_SECONDS`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        path = str(settings.socket)
        self._http = loopback_http.client("http://process-compose", timeout=None, socket=path)

    def _call(self, method: str, path: str) -> Any:
        # Stopping and scaling down answer when the last task in hand has finished.
        timeout = ANSWER_SECONDS if method == "GET" else None
        try:
            answer = self._http.request(method, path, timeout=timeout)
        except httpx.TimeoutException:
            raise _silent(self.settings) from None
        except httpx.TransportError:
            raise _no_stack(self.settings) from None
        if answer.is_error:
            try:
                reason = answer.json().get("error", answer.text)
            except ValueError:
                reason = answer.text
            raise WindtunnelError(f"process-compose refused: {reason}")
        return answer.json()

    # A list call can fail while replicas are renamed (project_runner.go, a map without a lock).
    @retry(
        retry=retry_if_exception_type(WindtunnelError),
        stop=stop_after_attempt(3) | stop_after_delay(ANSWER_SECONDS),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def processes(self) -> list[Process]:
        return [Process.of(row) for row in self._call("GET", "/processes")["data"]]

    def process(self, name: str) -> Process:
        """The process of this name, also one that drains after a scale-down."""
        return Process.of(self._call("GET", f"/process/{name}"))

    def workers(self) -> list[Process]:
        """The replicas of `worker`, lowest number first."""
        workers = [process for process in self.processes() if is_worker(process.name)]
        return sorted(workers, key=lambda process: replica(process.name))

    def start(self, name: str) -> None:
        self._call("POST", f"/process/start/{name}")

    def stop(self, name: str) -> None:
        """Stop a process; return when it has ended."""
        self._call("PATCH", f"/process/stop/{name}")

    def restart(self, name: str) -> None:
        self._call("POST", f"/process/restart/{name}")

    def scale(self, name: str, count: int) -> None:
        """Set the number of replicas; return when every surplus replica has ended.

        Args:
            name: the name of any living replica.
        """
        self._call("PATCH", f"/process/scale/{name}/{count}")


def is_worker(name: str) -> bool:
    """Whether this is a replica of `worker` (and not `worker-heavy`)."""
    base, _, number = name.partition("-")
    return name == "worker" or (base == "worker" and number.isdigit())


def replica(name: str) -> int:
    """`worker` is number 0, `worker-07` is 7: the number in the Celery node's name."""
    return int(name.partition("-")[2] or 0)


def node(name: str) -> str:
    """The Celery node (before the @) that runs under this process name."""
    return f"worker-{replica(name)}" if is_worker(name) else name
