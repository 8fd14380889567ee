"""Repairs the damage of a crash: `python -m windtunnel.reconciler`.

One per database (advisory lock). It decides nothing about tasks. It moves two timestamps back, and
the scheduler's own checks then retry, fail or queue again. It acts only while broker, database and
scheduler have been well for a while, since during an outage everything looks lost. It does not
import Airflow: it must be light and start before Airflow does. This file has the rounds; each of
the package's other files has one thing that a round looks at. Over 200 lines: the rounds share one
state.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import psycopg2

from windtunnel.brokers import choice
from windtunnel.brokers.interface import Held
from windtunnel.clients.postgres import libpq_url
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.reconciler import heartbeats, living
from windtunnel.reconciler.database import Database
from windtunnel.reconciler.disk_watch import Watch
from windtunnel.reconciler.leases import Leases
from windtunnel.reconciler.lost_messages import LostMessages
from windtunnel.reconciler.machine import Machine
from windtunnel.reconciler.reports import Reports
from windtunnel.reconciler.silent_tasks import (
    LOOK_SECONDS,
    SILENT_SECONDS,
    Silences,
    alive_here,
    api_server,
    api_server_well,
)
from windtunnel.runtime.hostname import worker_or_host
from windtunnel.settings import Settings, load
from windtunnel.system import logs

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
#: How long everything must have been well: first for tasks whose processes are certainly dead,
#: then for conclusions from an absence.
STEADY_SECONDS = 4.0
LONG_STEADY_SECONDS = 30.0
SCHEDULER_FRESH_SECONDS = 15.0
SWEEP_SECONDS = 10.0
MACHINE_SECONDS = 5.0
HEARTBEATS_SECONDS = 10.0
CLEAN_SECONDS = 600.0
#: A sweep over a long queue may take at most this share of the time.
SWEEP_SHARE = 0.01

#: The counter of state.json that an event raises, by `count` or by one.
COUNTERS = {
    "task_returned": "lost_tasks",
    "task_silent": "lost_tasks",
    "message_missing": "lost_messages",
    "message_restored": "restored_messages",
    "results_deleted": "deleted_results",
    "schedulers_dead": "dead_schedulers",
}


class Reconciler:
    """Its state is in memory only; a restart loses it, which delays a repair and does no harm."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.run / "reconciler"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.host = worker_or_host()
        self.heartbeats = settings.run / "heartbeats"
        self.away: tuple[type[Exception], ...] = (psycopg2.Error, OSError)
        self.broker = choice.of(settings).messages(settings)
        self.away += self.broker.errors
        self.database = Database(libpq_url(settings))
        self.machine = Machine(settings, self.say)
        self.reports = Reports(settings, self.broker, self.database, self.say)
        self.lost_messages = LostMessages(
            self.broker,
            self.database,
            self.say,
            lambda: living.written_down(settings.run),
        )
        self.leases = Leases(settings, self.broker, self.say)
        self.disk = Watch(settings.state, self.say)
        api = api_server(settings)
        self.silences = Silences(
            SILENT_SECONDS,
            lambda: api_server_well(api),
            lambda: alive_here(settings),
        )
        self.well_since = 0.0
        self.due = dict.fromkeys(("sweep", "schedulers", "machine", "heartbeats", "silent"), 0.0)
        self.due["clean"] = time.monotonic() + 30.0
        self.data: dict[str, Any] = {
            "version": 1,
            "pid": os.getpid(),
            "started": time.time(),
            "incidents": [],
        }
        self.data |= dict.fromkeys(COUNTERS.values(), 0)
        self.stop = False

    def say(
        self,
        event: str,
        text: str,
        *,
        level: int = logging.INFO,
        **fields: Any,
    ) -> None:
        """Logs one line that is also an event, counts it, and keeps the line for `status`."""
        log.log(level, text, extra=logs.event(event, **fields))
        if event in COUNTERS:
            self.data[COUNTERS[event]] += fields.get("count", 1)
        incident = {"time": time.time(), "text": text}
        self.data["incidents"] = [*self.data["incidents"], incident][-20:]

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.stop = True

    def run(self) -> int:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.on_signal)
        state = ""
        while not self.stop:
            start = time.monotonic()
            now_state = self.turn(start)
            if now_state != state:
                log.info(now_state, extra=logs.event("state", state=now_state))
            state = self.data["state"] = now_state
            self.data["time"] = time.time()
            try:
                ledger.write(self.folder / "state.json", self.data)
                (self.folder / "ready").touch()
            except OSError:
                pass  # a full disk; the next round tries again
            time.sleep(max(0.1, TICK_SECONDS - (time.monotonic() - start)))
        (self.folder / "ready").unlink(missing_ok=True)
        return 0

    def turn(self, now: float) -> str:
        """One round. Where it cannot work, every conclusion from an absence begins anew."""
        try:
            state = self.round(now)
        except self.away as error:
            self.database.drop()
            lines = str(error).strip().splitlines()
            state = f"waiting: {lines[0] if lines else type(error).__name__}"
        if not state.startswith("working"):
            self.well_since = 0.0
            self.lost_messages.reset()
            self.leases.silence.reset()
            self.silences.interrupted()
        return state

    def round(self, now: float) -> str:
        """One look. Returns its state, for `status`.

        Raises:
            psycopg2.Error, `Messages.errors`, OSError: a part is away. The next round can repeat
                every step that was half done.
        """
        if now >= self.due["machine"]:
            self.due["machine"] = now + MACHINE_SECONDS
            self.disk.check(now)
            self.machine.check(now)
        if now >= self.due["heartbeats"]:
            self.due["heartbeats"] = now + HEARTBEATS_SECONDS
            heartbeats.refresh(self.heartbeats, self.database.job_ages())
        if not self.database.lead():
            return "standing by: another reconciler works on this database"
        lost = self.broker.lost()
        next_look = min(self.due[name] for name in ("sweep", "schedulers", "silent"))
        if not lost and self.well_since and now < next_look:
            return "working"
        age = self.database.scheduler_age()
        if age is None or age > SCHEDULER_FRESH_SECONDS:
            return "waiting for a scheduler"
        self.well_since = self.well_since or now
        steady = now - self.well_since
        if lost and steady >= STEADY_SECONDS:
            self.reports.give_back(lost)
        if now >= self.due["silent"]:
            self.due["silent"] = now + LOOK_SECONDS
            self.end_silent(now)
        if now >= self.due["schedulers"] and steady >= STEADY_SECONDS:
            self.due["schedulers"] = now + SWEEP_SECONDS
            alive = self.machine.schedulers()
            count = self.database.age_dead_schedulers(alive, self.host)
            if count:
                text = f"{count} scheduler job(s) of dead processes: their tasks can be adopted"
                self.say("schedulers_dead", text, count=count)
        if now >= self.due["sweep"]:
            self.due["sweep"] = now + SWEEP_SECONDS
            if steady >= LONG_STEADY_SECONDS:
                self.sweep(now)
        if steady >= LONG_STEADY_SECONDS and now >= self.due["clean"]:
            self.due["clean"] = now + CLEAN_SECONDS
            count = self.database.delete_old_results()
            if count:
                text = f"deleted {count} old results of Celery"
                self.say("results_deleted", text, count=count)
        return "working"

    def end_silent(self, now: float) -> None:
        """Ends task instances whose heartbeats stopped while everything was well.

        Their host has vanished.
        """
        running = self.database.running()
        beats = {key: beat for key, (beat, _) in running.items()}
        for key in self.silences.look(now, beats):
            beat, name = running[key]
            if self.database.age_silent(key, beat):
                silence = f"sent no heartbeat for {SILENT_SECONDS:.0f} s"
                text = f"{name} {silence} while everything was well"
                self.say("task_silent", text, level=logging.WARNING, instance=key)

    def sweep(self, now: float) -> None:
        """Looks at every message: those that are lost, left over, or no longer renewed."""
        start = time.monotonic()
        queued = self.database.queued()
        held = self.broker.unacked()
        self.lost_messages.check(queued)
        self.remove_finished(held)
        self.leases.check(held, now)
        took = time.monotonic() - start
        self.data["last_sweep"] = time.time()
        self.data["last_sweep_seconds"] = round(took, 3)
        self.data["queued"] = len(queued)
        self.due["sweep"] = now + max(SWEEP_SECONDS, took / SWEEP_SHARE)

    def remove_finished(self, held: dict[str, Held]) -> None:
        """Removes each message that a worker holds although its task has long ended."""
        for task_id in self.database.finished(list(held)):
            self.broker.discard(held.pop(task_id))
            why = "it ended, and its worker died before it could say so"
            text = f"removed the message of Celery task {task_id}: {why}"
            self.say("message_removed", text, task=task_id)


def main() -> int:
    try:
        settings = load(client=False)
        logs.configure("reconciler", settings.events)
        return Reconciler(settings).run()
    except WindtunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.code)
