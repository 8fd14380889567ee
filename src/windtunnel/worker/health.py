"""Whether a Celery worker is well, judged by the file its main loop writes every 2 s (runtime/celery_consumer.py).

A probe costs one stat(2). Nothing is held against a worker while it starts or drains, while the broker or the database is
away (Celery's main loop then waits inside a call: celery.backends.base with result_backend_always_retry), or while this
supervisor itself was not given the processor.
"""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

from windtunnel.ledger import ledger
from windtunnel.system import procfs
from windtunnel.worker.celery_process import CeleryProcess
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record

#: A file older than this is reported.
STALE_SECONDS = 15.0
#: Evidence (seconds of silence with broker and database up) after which a hung main loop is replaced.
HUNG_SECONDS = 20.0
#: The most that one look may add: a supervisor that was itself asleep has seen nothing.
STEP_SECONDS = 1.0
#: A stop (SIGSTOP) is left this long, so that it is seen, and then lifted.
STOP_SECONDS = 3.0
START_SECONDS = 180.0
DEPENDENCY_EVERY_SECONDS = 3.0


def host_of(secret: Path) -> str:
    """The host that a URL among the secrets names; this machine where there is none yet."""
    try:
        return urlsplit(secret.read_text()).hostname or "127.0.0.1"
    except (OSError, ValueError):
        return "127.0.0.1"


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on that port of that host."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


class Health:
    """`check` returns True when Celery's main process must be killed and started again."""

    def __init__(self, options: Options, record: Record) -> None:
        self.options = options
        self.record = record
        self.file = record.files.health
        self.started(0.0)

    def started(self, now: float) -> None:
        """A new Celery: whatever its predecessor wrote is void."""
        self.file.unlink(missing_ok=True)
        self.record.files.stopping.unlink(missing_ok=True)
        self.started_at = self.last = now
        self.was_up = False
        self.mtime = 0
        self.silence = self.evidence = self.stopped = 0.0
        self.next_dependency = 0.0
        self.dumped = False
        self.missing: list[str] = []

    def check(self, celery: CeleryProcess, draining: bool, now: float) -> bool:
        step, self.last = min(now - self.last, STEP_SECONDS), now
        fresh = self._fresh()
        if fresh:
            self.silence = self.evidence = 0.0
            self.was_up, self.dumped = True, False
        else:
            self.silence += step
        if self._stopped(celery, step) or draining:
            return False
        if not self.was_up:
            return self._hung(celery, now, step, START_SECONDS, "it does not come up")
        if self.silence > STALE_SECONDS:
            return self._hung(celery, now, step, HUNG_SECONDS, "its main loop does not answer")
        if fresh:
            pulse = ledger.read(self.file)
            if not pulse.get("connected"):
                self.record.state("unhealthy: broker unreachable")
            elif not pulse.get("consuming"):
                self.record.state("unhealthy: not consuming")
            else:
                self.record.state("healthy")
        return False

    def _fresh(self) -> bool:
        try:
            mtime = self.file.stat().st_mtime_ns
        except OSError:
            return False
        changed, self.mtime = mtime != self.mtime, mtime
        return changed

    def _stopped(self, celery: CeleryProcess, step: float) -> bool:
        """A process in state T was sent SIGSTOP; SIGCONT cures it without any loss."""
        process = procfs.read(celery.pid)
        if process is None or process.state != "T":
            self.stopped = 0.0
            return False
        self.stopped += step
        self.silence = self.evidence = 0.0
        self.record.state("unhealthy: stopped", "Celery's main process was sent SIGSTOP")
        if self.stopped >= STOP_SECONDS:
            self.record.incident(f"Celery's main process (pid {celery.pid}) was stopped by a signal: sent SIGCONT", restart=False)
            celery.signal(signal.SIGCONT)
            self.stopped = 0.0
        return True

    def _hung(self, celery: CeleryProcess, now: float, step: float, limit: float, what: str) -> bool:
        if self.was_up or self.silence > STALE_SECONDS:
            if now >= self.next_dependency:
                self.next_dependency = now + DEPENDENCY_EVERY_SECONDS
                ports = {"broker": self.options.broker_port, "database": self.options.postgres_port}
                urls = self.options.state / "secrets"
                gone = [name for name, port in ports.items() if not answers(port, host_of(urls / f"{name}-url"))]
                before, self.missing = self.missing, gone
                if before and not self.missing:
                    self.silence = self.evidence = 0.0  # it may finish what it waited for
                    return False
            if self.missing:
                self.evidence = 0.0
                self.record.state("unhealthy: waiting for the " + " and the ".join(self.missing))
                return False
        self.evidence += step
        if self.was_up:
            # What was received and has not begun has no process: only the main loop that hangs could begin it.
            entries = self.record.files.in_hand().values()
            in_hand = sum(procfs.alive(ledger.number(e, "pid"), ledger.number(e, "start")) for e in entries)
            self.record.state("unhealthy: hung", f"{what}; {in_hand} task(s) in hand" + (" are waited for" if in_hand else ""))
            if in_hand:
                return False
        if self.evidence < limit:
            return False
        if not self.dumped:
            self.dumped = True
            self.record.incident(f"Celery: {what} ({self.silence:.0f} s silent): asked for its stack, then killed", restart=False)
            celery.signal(signal.SIGUSR1)
            self.evidence = limit - 1.0
            return False
        return True
