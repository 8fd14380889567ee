"""The supervisor of one Celery worker: `python -m windtunnel.worker [--name worker-N] [--queues a,b] [--concurrency N]`.

It starts `airflow celery worker` in a session of its own, relays its output, restarts it whenever it ends unasked
(back-off 1 to 10 s, for ever), ends everything a dead one left behind before that, and reports the tasks that were lost.
SIGTERM drains: only Celery's main process is told, since a signal to the whole group would reach the tasks.

Exit codes: 0 drained, 1 tasks were cut off at the ceiling or lost while draining, 2 wrong usage.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from types import FrameType

from windtunnel.errors import WindtunnelError
from windtunnel.ledger.fence import Generation
from windtunnel.ledger.ledger import describe
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.ledger.survivors import Survivors
from windtunnel.system import procfs
from windtunnel.worker.celery_process import CeleryProcess, exit_text
from windtunnel.worker.health import Health
from windtunnel.worker.memory import MemoryCeiling
from windtunnel.worker.options import Options
from windtunnel.worker.orphans import Orphans
from windtunnel.worker.record import Record

TICK_SECONDS = 0.5
#: While a task prints without pause, the rest is looked at this often.
STEP_SECONDS = 0.1
BACKOFF_SECONDS = (1.0, 10.0)
#: A Celery that lived this long had come up: the next restart is quick again.
SETTLED_SECONDS = 60.0
#: A worker that lost tasks comes back this much later where another one serves its queue: the retry is to run elsewhere.
YIELD_SECONDS = 9.0
#: How long the killed remains of a cut-off drain may take to tell.
REPORT_SECONDS = 5.0
#: How long the last lines may take to be read.
FINISH_SECONDS = 2.0


class Supervisor:
    """Runs until SIGTERM or SIGINT, and then until the tasks in hand are done."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.record = Record(options)
        self.celery = CeleryProcess(options)
        self.health = Health(options, self.record)
        self.lost = Lost(options.files, options.state, self.record.say)
        self.memory = MemoryCeiling(options, self.record)
        self.orphans = Orphans(options, self.record, self.lost)
        self.stop_at = 0.0  # monotonic; 0 = nobody asked
        self.stop_ceiling = 0.0
        self.next_step = 0.0
        self.next_start = 0.0
        self.backoff = BACKOFF_SECONDS[0]
        self.code: int | None = None

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if self.stop_at:
            self.record.say(f"{name} ignored: already draining")
            return
        self.stop_at = time.monotonic()
        self.stop_ceiling = self.stop_at + self.options.drain_seconds

    def run(self) -> int:
        self.record.take()
        self.lost.survivors = Survivors.written(self.record.data)
        procfs.become_subreaper()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.on_signal)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        self.clear(self.record.former(), owner=None, why="an earlier supervisor of this name ended without a drain")
        while self.code is None:
            waiting = [fd for fd in (wake_read, self.celery.output) if fd is not None]
            blocked = [fd for fd in (self.record.out.fd,) if fd is not None and self.record.out.pending]
            ready, _, _ = select.select(waiting, blocked, [], TICK_SECONDS)
            self.celery.relay(self.record.out)
            self.record.out.pump()
            if wake_read in ready:
                os.read(wake_read, 4096)
            elif time.monotonic() < self.next_step:
                continue
            self.next_step = time.monotonic() + STEP_SECONDS
            self.step()
        self.lost.send(until=time.monotonic() + REPORT_SECONDS)
        self.record.release(self.code)
        self.record.out.finish(FINISH_SECONDS)
        return self.code

    def step(self) -> None:
        """One look at everything: every half second, at once when a signal comes, and a little later when output does."""
        now = time.monotonic()
        if self.celery.running and (status := self.celery.reap()) is not None:
            self.ended(status, now)
        elif not self.celery.running:
            self.celery.reap()
            if self.stop_at:
                self.code = 0 if self.code is None else self.code
            elif now >= self.next_start:
                self.start(now)
        elif self.stop_at:
            self.drain(now)
        if self.celery.running:
            verdict = self.health.check(self.celery, draining=bool(self.stop_at), now=now)
            if verdict:
                self.celery.kill()
            self.orphans.check(self.celery, now)
            self.memory.check(self.celery, now)
        self.record.survivors(self.lost.survivors.entries)
        self.lost.send_if_due(now)
        self.record.save()

    def start(self, now: float) -> None:
        self.celery.start()
        self.health.started(now)
        self.record.started(self.celery)

    def drain(self, now: float) -> None:
        """Told once; at the ceiling everything that still runs is cut off."""
        if self.celery.told_to_stop:
            if now < self.stop_ceiling:
                return
            cut = [describe(key, entry) for key, entry in self.record.files.in_hand().items()]
            self.record.say(
                f"drain ceiling of {self.options.drain_seconds} s reached (WORKER_DRAIN_SECONDS): cut off: {', '.join(cut) or 'nothing'}"
            )
            self.code = 1 if cut else 0
            self.celery.kill()
            self.celery.wait()
            self.clear(self.celery.generation, owner=os.getpid(), why="its drain reached the ceiling")
            return
        count = len(self.record.files.in_hand())
        self.record.state("draining", f"{count} task(s) in hand, at most {self.options.drain_seconds} s")
        self.celery.terminate()

    def ended(self, status: int, now: float) -> None:
        """Celery is gone: clean up behind it, then stop with it or plan the next start."""
        asked = bool(self.stop_at) or self.record.files.stopping.exists()
        well = asked and os.WIFEXITED(status)
        lost = self.record.files.in_hand()
        text = exit_text(status)
        tasks = ", ".join(describe(key, entry) for key, entry in lost.items()) or "none"
        self.clear(self.celery.generation, owner=os.getpid(), why=f"Celery's main process ended: {text}")
        if well:
            self.record.say(f"drained: {text}" + (f"; tasks that were not finished: {tasks}" if lost else ""))
            self.code = 1 if lost else 0
            return
        if asked:
            self.code = 1
        if now - self.health.started_at > SETTLED_SECONDS:
            self.backoff = BACKOFF_SECONDS[0]
        crashed = self.health.was_up or os.WIFSIGNALED(status)
        what = "crashed" if crashed else "did not come up"
        self.record.incident(f"Celery {what} ({text}); tasks in hand: {tasks}; next start in {self.backoff:.0f} s")
        self.record.state("starting" if not crashed else "unhealthy: crashed", text)
        self.next_start = max(self.next_start, now + self.backoff)
        self.backoff = min(self.backoff * 2, BACKOFF_SECONDS[1])

    def clear(self, generation: Generation | None, owner: int | None, why: str) -> None:
        """Fence first, report second: a task is only given back when nothing of it can run any more."""
        held = bool(self.record.files.in_hand())
        self.lost.fence_and_note(generation, owner, why, self.celery.reap, self.orphans.tasks.task_of)
        if held and (other := self.options.stand_in()):
            self.record.say(f"starting {YIELD_SECONDS:.0f} s later, so that {other} can take what is retried")
            self.next_start = time.monotonic() + YIELD_SECONDS


def main(argv: list[str] | None = None) -> int:
    try:
        return Supervisor(Options.parse(argv)).run()
    except WindtunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.code)
