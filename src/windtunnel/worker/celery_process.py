"""The Celery process that a supervisor looks after: start, signals, output, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from windtunnel.ledger.fence import Generation
from windtunnel.services import migration_gate
from windtunnel.system import procfs
from windtunnel.worker.options import Options
from windtunnel.worker.output import Output

CHUNK = 65536
#: Chunks that one turn passes on: a task that prints without end must not keep the supervisor from its other work.
CHUNKS = 16
#: How long a killed main process is waited for. One that hangs in the kernel is the fence's then, as any other process.
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
    """At most one at a time. Its whole tree shares a session, so that anyone can tell its members from /proc/PID/stat."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.pid = 0
        self.generation: Generation | None = None
        self.output: int | None = None
        self.told_to_stop = False
        # Taken while process-compose is there: an orphaned supervisor has another parent.
        self.run = migration_gate.run_of(os.getppid())

    @property
    def running(self) -> bool:
        return self.pid != 0

    def command(self) -> list[str]:
        """`-H` is not used: with it Airflow asks all workers for their names first, 1 s, and 6 s without a broker (notes 4)."""
        return [
            *(sys.executable, "-m", "windtunnel.runtime.component"),
            *("celery", "worker", "--skip-serve-logs", "--without-gossip", "--without-mingle"),
            *("--queues", self.options.queues, "--concurrency", str(self.options.concurrency)),
        ]

    def environment(self) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not (k == "PYTHONDONTWRITEBYTECODE" and not v)}
        env |= {
            "WINDTUNNEL_WORKER": self.options.name,
            "WINDTUNNEL_STATE": str(self.options.state),
            migration_gate.RUN: self.run,
        }
        return env

    def start(self) -> None:
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
            env=self.environment(),
            start_new_session=True,
            preexec_fn=in_child,
        )
        process.returncode = 0  # this class reaps it; Popen must not
        os.close(write_end)
        os.set_blocking(read_end, False)
        if self.output is not None:
            os.close(self.output)
        found = procfs.read(process.pid)
        self.pid, self.output, self.told_to_stop = process.pid, read_end, False
        self.generation = Generation(process.pid, found.start if found else 0, procfs.boot_id())

    def relay(self, out: Output) -> None:
        """Passes on some of what Celery wrote."""
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
        """Collects ended children, ours and inherited ones. The wait status where Celery's main process is among them."""
        result = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return result
            if pid == 0:
                return result
            if pid == self.pid:
                self.pid, result = 0, status

    def signal(self, signum: int) -> None:
        process = procfs.find(self.pid, self.generation.start) if self.pid and self.generation else None
        if process is not None:
            procfs.kill(process, signum)

    def terminate(self) -> None:
        """Warm shutdown: tasks in hand go on, no new one is taken. A stopped process must run to hear it."""
        self.told_to_stop = True
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def wait(self) -> None:
        """Until the killed main process is collected, `END_SECONDS` at most."""
        end = time.monotonic() + END_SECONDS
        while self.pid and time.monotonic() < end:
            self.reap()
            time.sleep(0.05)
