"""The Celery process of one supervisor: how it is started, signalled, read and reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from windtunnel.ledger import ledger
from windtunnel.ledger.fence import Generation
from windtunnel.services import migration_gate
from windtunnel.system import procfs
from windtunnel.system.waiting import wait_for
from windtunnel.worker.options import Options
from windtunnel.worker.output import Output

CHUNK = 65536
#: One call of `relay` passes on at most this many chunks.
#: So a task that prints without end does not keep the supervisor from its other work.
CHUNKS = 16
#: The supervisor waits this long for a killed main process to end.
#: A process that hangs in the kernel is left to the fence, as any other process.
END_SECONDS = 2.0


def exit_text(status: int) -> str:
    """`signal SIGKILL` or `exit code 1` from a wait status."""
    if os.WIFSIGNALED(status):
        try:
            return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
        except ValueError:
            return f"signal {os.WTERMSIG(status)}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


class CeleryProcess:
    """At most one Celery at a time.

    Its whole process tree shares one session, so /proc/PID/stat shows who belongs to it.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.pid = 0
        self.generation: Generation | None = None
        self.output: int | None = None
        self.told_to_stop = False
        # Read while process-compose is the parent: an orphaned supervisor has another parent.
        self.run = migration_gate.run_of(os.getppid())

    @property
    def running(self) -> bool:
        return self.pid != 0

    def command(self) -> list[str]:
        """Celery's command line.

        `-H` is not used: with it Airflow first asks all workers for their names.
        That takes 1 s, and 6 s while the broker is away.
        """
        program = [sys.executable, "-m", "windtunnel.runtime.component", "celery", "worker"]
        switches = ["--skip-serve-logs", "--without-gossip", "--without-mingle"]
        queues = ["--queues", self.options.queues]
        slots = ["--concurrency", str(self.options.concurrency)]
        return program + switches + queues + slots

    def environment(self, serve_at: float) -> dict[str, str]:
        """The supervisor's own variables, and those by which Celery's tree knows its worker."""
        env = dict(os.environ)
        if env.get("PYTHONDONTWRITEBYTECODE") == "":
            del env["PYTHONDONTWRITEBYTECODE"]
        env["WINDTUNNEL_WORKER"] = self.options.name
        env["WINDTUNNEL_STATE"] = str(self.options.state)
        env[migration_gate.RUN] = self.run
        env[ledger.SERVE_AT] = str(serve_at)
        return env

    def start(self, serve_at: float = 0.0) -> None:
        """Start it; it loads at once, and takes no task before that moment (monotonic)."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()

        def in_child() -> None:
            procfs.die_with_parent()
            if os.getppid() != parent:  # the supervisor died before the line above took effect
                os._exit(1)

        # The supervisor has one thread, so a function between fork and exec is safe.
        process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env=self.environment(serve_at),
            start_new_session=True,
            preexec_fn=in_child,
        )
        process.returncode = 0  # this class reaps it; Popen must not
        os.close(write_end)
        os.set_blocking(read_end, False)
        if self.output is not None:
            os.close(self.output)
        found = procfs.read(process.pid)
        self.pid = process.pid
        self.output = read_end
        self.told_to_stop = False
        self.generation = Generation(process.pid, found.start if found else 0, procfs.boot_id())

    def relay(self, out: Output) -> None:
        """Passes on some of Celery's output."""
        for _ in range(CHUNKS):
            if self.output is None:
                return
            try:
                data = os.read(self.output, CHUNK)
            except BlockingIOError:
                return
            if not data:
                os.close(self.output)
                self.output = None
                return
            out.put(data)

    def reap(self) -> int | None:
        """Reaps every child that has ended, its own and inherited ones.

        Returns:
            The wait status of Celery's main process if it was among them.
        """
        result = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return result
            if pid == 0:
                return result
            if pid == self.pid:
                self.pid = 0
                result = status

    def signal(self, signum: int) -> None:
        if not self.pid or self.generation is None:
            return
        process = procfs.find(self.pid, self.generation.start)
        if process is not None:
            procfs.kill(process, signum)

    def terminate(self) -> None:
        """Starts Celery's warm shutdown: the tasks in hand finish, and no new task is taken.

        SIGCONT follows, because a stopped process handles no SIGTERM.
        """
        self.told_to_stop = True
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def wait(self) -> None:
        """Waits until the killed main process is reaped, `END_SECONDS` at most."""
        wait_for(self._is_reaped, END_SECONDS, every=0.05)

    def _is_reaped(self) -> bool:
        self.reap()
        return not self.running
