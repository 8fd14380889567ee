"""A real process-compose in a state folder, with two processes that sleep in place of a stack's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from windtunnel.clients import process_compose
from windtunnel.settings import Settings
from windtunnel.stack.real_binary import real_binary
from windtunnel.system.waiting import wait_for

#: The worker takes two seconds to end when it is told to, as one with a task in hand.
PROCESSES = """
version: "0.5"
shell: {shell_command: sh, shell_argument: -c}
processes:
  worker:
    command: "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"
    shutdown: {parent_only: true, timeout_seconds: 20}
  scheduler: {command: exec sleep 1000}
"""


@contextmanager
def small_stack(settings: Settings) -> Iterator[None]:
    """Runs one while the block lasts."""
    for folder in (settings.run, settings.logs):
        folder.mkdir(parents=True)
    file = settings.run / "process-compose.yaml"
    file.write_text(PROCESSES)
    log = str(settings.logs / "process-compose.log")
    server = subprocess.Popen(
        [real_binary(), "up", "-t=false", "-f", str(file), "-u", str(settings.socket), "-L", log],
        env={**os.environ, "PC_DISABLE_DOTENV": "1", "PROC_COMP_CONFIG": str(settings.run)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_for(lambda: len(running(settings)) == 2, 20, 0.05)
        yield
    finally:
        for process in psutil.Process(server.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.wait(30)


def running(settings: Settings) -> list[str]:
    """The names of the processes that run; none before the server answers."""
    if not process_compose.answers(settings):
        return []
    rows = process_compose.Compose(settings).processes()
    return [row.name for row in rows if row.is_running]


def stop(settings: Settings) -> int:
    """SIGSTOP to its process-compose, as Ctrl-Z does. Returns the pid."""
    server = process_compose.server(settings)
    assert server is not None
    os.kill(server.pid, signal.SIGSTOP)
    assert wait_for(lambda: process_compose.stopped(settings) is not None, 5, 0.01)
    return server.pid
