"""The supervisor of one Celery worker.

    python -m windtunnel.worker [--name worker-N] [--queues a,b] [--concurrency N]

It starts `airflow celery worker` in a session of its own and relays its output. When Celery ends
unasked, it starts it again after 1 to 10 s, without limit. Before a restart it kills every
process that the dead Celery left behind, and it reports the lost tasks.
SIGTERM drains: only Celery's main process gets the signal, because a signal to the whole group
would reach the tasks. Over 200 lines, because one class has all steps of a worker's life.

Exit codes: 0 drained, 1 tasks were cut off at the drain ceiling or lost while draining, 2 wrong
usage.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from types import FrameType

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import temporary
from windtunnel.ledger.fence import Generation
from windtunnel.ledger.ledger import describe
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.ledger.survivors import Survivors
from windtunnel.system import logs, procfs
from windtunnel.worker.celery_process import CeleryProcess, exit_text
from windtunnel.worker.health import Health
from windtunnel.worker.memory import MemoryCeiling
from windtunnel.worker.options import Options
from windtunnel.worker.orphans import Orphans
from windtunnel.worker.output import Lines, Output
from windtunnel.worker.record import Record

TICK_SECONDS = 0.5
#: While a task prints without pause, the supervisor does its other work this often.
STEP_SECONDS = 0.1
BACKOFF_SECONDS = (1.0, 10.0)
#: After a Celery has lived this long, the back-off begins again with its shortest pause.
SETTLED_SECONDS = 60.0
#: A worker that lost tasks takes none for this long if another worker serves its queue.
#: So the retries run on the other worker. Celery loads meanwhile.
YIELD_SECONDS = 9.0
#: How long the supervisor tries to report lost tasks before it ends.
REPORT_SECONDS = 5.0
#: How long the supervisor waits at its end for a reader of its last lines.
FINISH_SECONDS = 2.0


class Supervisor:
    """Runs until SIGTERM or SIGINT, and then until the tasks in hand are done."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out = Output()
        self.record = Record(options)
        self.celery = CeleryProcess(options)
        self.health = Health(options, self.record)
        self.lost = Lost(options.files, options.state, self.record.say)
        self.memory = MemoryCeiling(options, self.record)
        self.orphans = Orphans(options, self.record, self.lost)
        self.stop_at = 0.0  # monotonic; 0 = no signal has asked for a stop
        self.stop_ceiling = 0.0
        self.next_step = 0.0
        self.next_start = 0.0
        self.serve_at = 0.0
        self.backoff = BACKOFF_SECONDS[0]
        self.code: int | None = None

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if self.stop_at:
            text = f"{name} ignored: already draining"
            self.record.say("signal_ignored", text, signal=name)
            return
        self.stop_at = time.monotonic()
        self.stop_ceiling = self.stop_at + self.options.drain_seconds

    def run(self) -> int:
        name = self.options.name
        logs.configure(name, self.options.events, f"supervisor of {name}", Lines(self.out))
        self.record.take()
        self.lost.survivors = Survivors.written(self.record.data)
        procfs.become_subreaper()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.on_signal)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        why = "an earlier supervisor of this name ended without a drain"
        self.clear(self.record.former(), owner=None, why=why)
        while self.code is None:
            inputs = self._inputs(wake_read)
            ready, _, _ = select.select(inputs, self._outputs(), [], TICK_SECONDS)
            self.celery.relay(self.out)
            self.out.pump()
            if wake_read in ready:
                os.read(wake_read, 4096)
            elif time.monotonic() < self.next_step:
                continue
            self.next_step = time.monotonic() + STEP_SECONDS
            self.step()
        self.lost.send(until=time.monotonic() + REPORT_SECONDS)
        self.record.release(self.code)
        self.out.finish(FINISH_SECONDS)
        return self.code

    def _inputs(self, wake_read: int) -> list[int]:
        output = self.celery.output
        return [wake_read] if output is None else [wake_read, output]

    def _outputs(self) -> list[int]:
        out = self.out
        return [out.fd] if out.fd is not None and out.pending else []

    def step(self) -> None:
        """Checks everything: every half second, at once after a signal, soon after output."""
        now = time.monotonic()
        was_running = self.celery.running
        status = self.celery.reap()
        if status is not None:
            self.ended(status, now)
        elif not was_running:
            if self.stop_at:
                self.code = 0 if self.code is None else self.code
            elif now >= self.next_start:
                self.start(now)
        elif self.stop_at:
            self.drain(now)
        if self.celery.running:
            hung = self.health.check(self.celery, draining=bool(self.stop_at), now=now)
            if hung:
                self.celery.kill()
            self.orphans.check(self.celery, now)
            self.memory.check(self.celery, now)
        self.record.survivors(self.lost.survivors.entries)
        self.lost.send_if_due(now)
        self.record.save()

    def start(self, now: float) -> None:
        self.celery.start(self.serve_at)
        self.health.started(now)
        self.record.started(self.celery)

    def drain(self, now: float) -> None:
        """Sends SIGTERM once. At the ceiling it cuts off everything that still runs."""
        if self.celery.told_to_stop:
            if now < self.stop_ceiling:
                return
            cut = self.record.files.in_hand()
            seconds = self.options.drain_seconds
            tasks = ", ".join(describe(key, entry) for key, entry in cut.items()) or "nothing"
            ceiling = f"drain ceiling of {seconds} s reached (WORKER_DRAIN_SECONDS)"
            text = f"{ceiling}: cut off: {tasks}"
            level = logging.WARNING
            self.record.say("cut_off", text, level=level, tasks=sorted(cut), seconds=seconds)
            self.code = 1 if cut else 0
            self.celery.kill()
            self.celery.wait()
            why = "its drain reached the ceiling"
            self.clear(self.celery.generation, owner=os.getpid(), why=why)
            return
        count = len(self.record.files.in_hand())
        detail = f"{count} task(s) in hand, at most {self.options.drain_seconds} s"
        self.record.state("draining", detail)
        self.celery.terminate()

    def ended(self, status: int, now: float) -> None:
        """Celery has ended: cleans up after it, then stops too or plans the next start."""
        asked = bool(self.stop_at) or self.record.files.stopping.exists()
        lost = self.record.files.in_hand()
        # Before Celery is up, SIGTERM simply ends it.
        well = asked and (os.WIFEXITED(status) or not (lost or self.health.was_up))
        text = exit_text(status)
        tasks = ", ".join(describe(key, entry) for key, entry in lost.items()) or "none"
        why = f"Celery's main process ended: {text}"
        self.clear(self.celery.generation, owner=os.getpid(), why=why)
        if well:
            unfinished = f"; tasks that were not finished: {tasks}" if lost else ""
            self.record.say("drained", f"drained: {text}{unfinished}", tasks=sorted(lost))
            self.code = 1 if lost else 0
            return
        if asked:
            self.code = 1
        if now - self.health.started_at > SETTLED_SECONDS:
            self.backoff = BACKOFF_SECONDS[0]
        crashed = self.health.was_up or os.WIFSIGNALED(status)
        verdict = "crashed" if crashed else "did not come up"
        pause = "no new start, as asked" if asked else f"next start in {self.backoff:.0f} s"
        self.record.incident(
            "celery_ended",
            f"Celery {verdict} ({text}); tasks in hand: {tasks}; {pause}",
            restart=not asked,
            how=text,
            tasks=sorted(lost),
            seconds=None if asked else self.backoff,
        )
        self.record.state("unhealthy: crashed" if crashed else "starting", text)
        self.next_start = max(self.next_start, now + self.backoff)
        self.backoff = min(self.backoff * 2, BACKOFF_SECONDS[1])

    def clear(self, generation: Generation | None, owner: int | None, why: str) -> None:
        """Kills first and reports second: no task is given back while a process of it can run."""
        held = bool(self.record.files.in_hand())
        task_of = self.orphans.tasks.task_of
        self.lost.fence_and_note(generation, owner, why, self.celery.reap, task_of)
        temporary.remove(self.record.files)
        other = self.options.stand_in() if held and not self.stop_at else None
        if other:
            text = f"takes no task for {YIELD_SECONDS:.0f} s: {other} can take the retried tasks"
            self.record.say("waits_for_other", text, seconds=YIELD_SECONDS, stand_in=other)
            self.serve_at = time.monotonic() + YIELD_SECONDS


def main(argv: list[str] | None = None) -> int:
    try:
        return Supervisor(Options.parse(argv)).run()
    except WindtunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.code)
