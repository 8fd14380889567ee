"""Whether a Celery worker is healthy.

Its main loop writes health.json every 2 s (runtime/celery_consumer.py). A look costs one stat(2).
A worker is not blamed:

- while it starts or drains;
- while the broker or the database is away. Celery's main loop then waits inside a call
  (celery.backends.base with result_backend_always_retry);
- while this supervisor itself got no processor time.
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

#: A health.json older than this is reported.
STALE_SECONDS = 15.0
#: A hung main loop is replaced after this many seconds of silence with broker and database up.
HUNG_SECONDS = 20.0
#: One look adds at most this much silence: a supervisor that slept itself has seen nothing.
STEP_SECONDS = 1.0
#: A process that was stopped (SIGSTOP) gets SIGCONT after this long, so that the stop is seen.
STOP_SECONDS = 3.0
START_SECONDS = 180.0
DEPENDENCY_EVERY_SECONDS = 3.0


def host_of(secret: Path) -> str:
    """The host in a URL among the secrets; this machine while there is no such URL."""
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
        """A new Celery has started: the files of the one before no longer count."""
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
        step = min(now - self.last, STEP_SECONDS)
        self.last = now
        fresh = self._fresh()
        if fresh:
            self.silence = self.evidence = 0.0
            self.was_up = True
            self.dumped = False
        else:
            self.silence += step
        if self._stopped(celery, step) or draining:
            return False
        if not self.was_up:
            return self._hung(celery, now, step, START_SECONDS, "it does not come up")
        if self.silence > STALE_SECONDS:
            return self._hung(celery, now, step, HUNG_SECONDS, "its main loop does not answer")
        if fresh:
            self._report_pulse()
        return False

    def _report_pulse(self) -> None:
        pulse = ledger.read(self.file)
        if not pulse.get("connected"):
            self.record.state("unhealthy: broker unreachable")
        elif not pulse.get("consuming"):
            self.record.state("unhealthy: not consuming")
        else:
            self.record.state("healthy")

    def _fresh(self) -> bool:
        """Whether health.json was written since the last look."""
        try:
            mtime = self.file.stat().st_mtime_ns
        except OSError:
            return False
        changed = mtime != self.mtime
        self.mtime = mtime
        return changed

    def _stopped(self, celery: CeleryProcess, step: float) -> bool:
        """Whether Celery is in state T, which is the effect of SIGSTOP. SIGCONT loses nothing."""
        process = procfs.read(celery.pid)
        if process is None or process.state != "T":
            self.stopped = 0.0
            return False
        self.stopped += step
        self.silence = self.evidence = 0.0
        self.record.state("unhealthy: stopped", "Celery's main process was sent SIGSTOP")
        if self.stopped >= STOP_SECONDS:
            text = f"Celery's main process (pid {celery.pid}) was stopped by a signal: sent SIGCONT"
            self.record.incident("process_continued", text, pid=celery.pid)
            celery.signal(signal.SIGCONT)
            self.stopped = 0.0
        return True

    def _hung(
        self,
        celery: CeleryProcess,
        now: float,
        step: float,
        limit: float,
        symptom: str,
    ) -> bool:
        """Adds up the evidence that Celery hangs; True once it exceeds `limit` seconds."""
        if self.was_up or self.silence > STALE_SECONDS:
            if now >= self.next_dependency:
                self.next_dependency = now + DEPENDENCY_EVERY_SECONDS
                before = self.missing
                self.missing = self._missing_services()
                if before and not self.missing:
                    # They are back: Celery gets the time to finish the call that waited for them.
                    self.silence = self.evidence = 0.0
                    return False
            if self.missing:
                self.evidence = 0.0
                names = " and the ".join(self.missing)
                self.record.state(f"unhealthy: waiting for the {names}")
                return False
        self.evidence += step
        if self.was_up:
            # A task that was received and has not begun has no process.
            # Only the main loop could begin it, and that hangs, so nobody waits for such a task.
            in_hand = self._tasks_with_a_process()
            waiting = " are waited for" if in_hand else ""
            detail = f"{symptom}; {in_hand} task(s) in hand{waiting}"
            self.record.state("unhealthy: hung", detail)
            if in_hand:
                return False
        if self.evidence < limit:
            return False
        if not self.dumped:
            self.dumped = True
            silent = f"{self.silence:.0f} s silent"
            text = f"Celery: {symptom} ({silent}): asked for its stack, then killed"
            self.record.incident("celery_hung", text, pid=celery.pid, seconds=self.silence)
            celery.signal(signal.SIGUSR1)
            self.evidence = limit - 1.0
            return False
        return True

    def _missing_services(self) -> list[str]:
        ports = {"broker": self.options.broker_port, "database": self.options.postgres_port}
        secrets = self.options.state / "secrets"
        missing = []
        for name, port in ports.items():
            if not answers(port, host_of(secrets / f"{name}-url")):
                missing.append(name)
        return missing

    def _tasks_with_a_process(self) -> int:
        count = 0
        for entry in self.record.files.in_hand().values():
            if procfs.alive(ledger.number(entry, "pid"), ledger.number(entry, "start")):
                count += 1
        return count
