"""`python -m windtunnel.brokers.rabbitmq_server`: RabbitMQ with an epmd of its own.

Erlang's port mapper (epmd) is usually one daemon a machine: it listens on every interface, and
outlives the servers that started it. Here it is a child that listens on loopback, at a port of the
stack. This process ends both, and whatever else they have left; when it is killed, the kernel ends
them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

import psutil

from windtunnel.brokers import rabbitmq_conf, rabbitmq_programs
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.system import procfs


class Server:
    """RabbitMQ and its epmd."""

    def __init__(self, settings: Settings) -> None:
        self.programs = rabbitmq_programs.find()
        self.env = rabbitmq_conf.environment(settings, os.environ)
        self.home = rabbitmq_conf.folder(settings)
        self.port = settings.ports.epmd
        self.server = 0

    def run(self) -> int:
        """Returns the server's exit code when it has ended, and nothing of Erlang is left."""
        procfs.become_subreaper()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop)
        epmd = self._epmd()
        self.server = self._start([str(self.programs.server)])
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self.server:
                break
            if pid == epmd:  # the server registers there again by itself
                epmd = self._epmd()
        self.server = 0
        self._clear()
        return os.waitstatus_to_exitcode(status)

    def _epmd(self) -> int:
        listen = ["-address", "127.0.0.1", "-port", str(self.port)]
        return self._start([str(self.programs.epmd), *listen])

    def _start(self, command: list[str]) -> int:
        parent = os.getpid()

        def in_child() -> None:
            procfs.die_with_parent()
            if os.getppid() != parent:
                os._exit(1)

        # This process has one thread, so a function between fork and exec is safe.
        process = subprocess.Popen(command, env=self.env, cwd=self.home, preexec_fn=in_child)
        process.returncode = 0  # `run` reaps it; Popen must not
        return process.pid

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self.server:
            os.kill(self.server, signal.SIGTERM)

    @staticmethod
    def _clear() -> None:
        for child in psutil.Process().children(recursive=True):
            child.kill()
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def main() -> int:
    try:
        return abs(Server(load()).run())
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        return int(error.code)


if __name__ == "__main__":
    sys.exit(main())
