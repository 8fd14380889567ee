"""Repairs the damage of a crash: `python -m windtunnel.reconciler`.

One per database (advisory lock). It decides nothing about tasks. It moves two timestamps back, and
the scheduler's own checks then retry, fail or queue again. It acts only while broker, database and
scheduler have been well for a while, since during an outage everything looks lost. It does not
import Airflow: it must be light and start before Airflow does. Over 200 lines: the rounds and their
actions share one state.
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
import redis

from windtunnel.clients.postgres import libpq_url
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.reconciler import heartbeats, living
from windtunnel.reconciler.broker import Broker, Held
from windtunnel.reconciler.database import Database
from windtunnel.reconciler.disk_watch import Watch
from windtunnel.reconciler.leases import Leases
from windtunnel.reconciler.machine import Machine
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
#: Airflow's CallbackState of a callback that an executor still owes a result.
UNFINISHED_CALLBACK = ("pending", "queued", "running")
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

#: A supervisor's report of a lost task (ledger/lost_tasks.py).
Report = dict[str, Any]


class Reconciler:
    """Its state is in memory only; a restart loses it, which delays a repair and does no harm."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.run / "reconciler"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.host = worker_or_host()
        self.heartbeats = settings.run / "heartbeats"
        self.broker = Broker(settings.secret("broker-url"))
        self.database = Database(libpq_url(settings))
        self.machine = Machine(settings, self.say)
        self.leases = Leases(settings, self.broker, self.say)
        self.disk = Watch(settings.state, self.say)
        api = api_server(settings)
        self.silences = Silences(
            SILENT_SECONDS,
            lambda: api_server_well(api),
            lambda: alive_here(settings),
        )
        self.well_since = 0.0
        self.absent: set[str] = set()
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
        except (psycopg2.Error, redis.RedisError, OSError) as error:
            self.database.drop()
            lines = str(error).strip().splitlines()
            state = f"waiting: {lines[0] if lines else type(error).__name__}"
        if not state.startswith("working"):
            self.well_since, self.absent = 0.0, set()
            self.leases.silence.reset()
            self.silences.interrupted()
        return state

    def round(self, now: float) -> str:
        """One look. Returns its state, for `status`.

        Raises:
            psycopg2.Error, redis.RedisError, OSError: a part is away. The next round can repeat
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
            self.give_back(lost)
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

    def give_back(self, lost: dict[str, Report]) -> None:
        """Gives back the tasks whose processes a supervisor has ended."""
        held = self.broker.unacked()
        for task_id, entry in lost.items():
            try:
                self.give_back_one(task_id, entry, held)
            # A name that PostgreSQL cannot hold, or a timestamp outside its range.
            except (ValueError, OverflowError) as error:
                self.broker.forget(task_id)
                what = "dropped the report of a lost task that makes no sense"
                text = f"{what}: {task_id!r}: {error}"
                self.say("report_dropped", text, level=logging.WARNING, task=task_id)

    def give_back_one(self, task_id: str, entry: Report, held: dict[str, Held]) -> None:
        """One of them.

        Raises:
            ValueError, OverflowError: no worker of ours wrote this report.
        """
        name = ledger.describe(task_id, entry)
        if entry.get("callback"):
            self.give_back_callback(task_id, entry, held, name)
        else:
            self.give_back_task(task_id, entry, held, name)

    def give_back_task(
        self,
        task_id: str,
        entry: Report,
        held: dict[str, Held],
        name: str,
    ) -> None:
        """The scheduler retries or fails it; a task that had not begun goes back into its queue."""
        names = (str(entry.get("worker", "")), str(entry.get("hostname", "")))
        started, noted = _seconds(entry.get("started")), _seconds(entry.get("noted"))
        state = self.database.lost_state(task_id, names, started, noted)
        # The ledger is read after the database. A run that the database knows has an entry before.
        if self.is_living(task_id):
            if state != "running":
                self.broker.forget(task_id)  # another delivery of the message is in hand
            # Else this may be a copy that Airflow is about to refuse: the report waits for its end.
            return
        if state == "running":
            self.database.age_heartbeat(task_id)
            return  # the report stays until the scheduler has acted
        if state == "queued" and task_id in held:
            if self.broker.restore(task_id, held[task_id]):
                text = f"put {name} back into its queue: its worker died before it began"
                self.say("message_restored", text, **ledger.identity(task_id, entry))
            return
        self.drop(task_id, held)
        if state != "queued":
            self.database.forget_result(task_id)
            self.returned(task_id, entry, name, state)

    def is_living(self, task_id: str) -> bool:
        """Whether a living process on this machine has the task in hand."""
        return any(task_id == living_id for living_id, _ in living.tasks(self.settings.run))

    def returned(self, task_id: str, entry: Report, name: str, state: str | None) -> None:
        """Logs the state of a task after its worker was lost."""
        text = f"{name} is {state or 'gone'} after its worker was lost"
        self.say("task_returned", text, state=state, **ledger.identity(task_id, entry))

    def drop(self, task_id: str, held: dict[str, Held]) -> None:
        """Deletes the message and the report."""
        if task_id in held:
            self.broker.discard(held[task_id])
        self.broker.forget(task_id)

    def give_back_callback(
        self,
        task_id: str,
        entry: Report,
        held: dict[str, Held],
        name: str,
    ) -> None:
        """A callback runs again under the same id.

        It has no retry policy, and only a result frees its executor slot.
        """
        if self.is_living(task_id):
            self.broker.forget(task_id)  # another delivery of the message is in hand
            return
        self.database.forget_result(task_id)
        state = self.database.callback_state(str(entry["callback"]))
        if task_id in held and state in UNFINISHED_CALLBACK:
            if self.broker.restore(task_id, held[task_id]):
                text = f"put {name} back into its queue: its worker died while it ran"
                self.say("message_restored", text, **ledger.identity(task_id, entry))
            return
        self.drop(task_id, held)
        self.returned(task_id, entry, name, state)

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
        """Repairs two kinds of damage.

        - The message of a queued task instance is missing in two sweeps.
        - A worker's message is still held although its task has long ended.
        """
        start = time.monotonic()
        queued = self.database.queued()
        held = self.broker.unacked()
        absent: set[str] = set()
        if queued:
            # The broker is read after the database. A task whose message was taken meanwhile is no
            # longer queued when `age_queued` below asks again.
            waiting = self.broker.message_ids(set(queued.values()))
            absent = set(queued) - waiting - set(self.broker.unacked())
        for task_id in absent & self.absent:
            name = self.database.age_queued(task_id)
            if name:
                text = f"the message of {name} is nowhere: the scheduler is made to queue it again"
                self.say("message_missing", text, level=logging.WARNING, task=task_id)
        self.absent = absent
        for task_id in self.database.finished(list(held)):
            self.broker.discard(held.pop(task_id))
            why = "it ended, and its worker died before it could say so"
            text = f"removed the message of Celery task {task_id}: {why}"
            self.say("message_removed", text, task=task_id)
        self.leases.check(held, now)
        took = time.monotonic() - start
        self.data["last_sweep"] = time.time()
        self.data["last_sweep_seconds"] = round(took, 3)
        self.data["queued"] = len(queued)
        self.due["sweep"] = now + max(SWEEP_SECONDS, took / SWEEP_SHARE)


def _seconds(value: object) -> float:
    """A timestamp from a report; 0 where it is not a number."""
    return float(value) if isinstance(value, int | float) else 0.0


def main() -> int:
    try:
        settings = load(client=False)
        logs.configure("reconciler", settings.events)
        return Reconciler(settings).run()
    except WindtunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.code)
