"""Brings back what a crash left half done: `python -m windtunnel.reconciler`. One per database (advisory lock).

It decides nothing about tasks: it ages two time stamps, and the scheduler's own checks then retry, fail or queue again.
It acts only while broker, database and scheduler have been well for a while, since during an outage everything looks lost.
No Airflow import: it must be light and start before Airflow does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import psycopg2
import redis

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.reconciler import heartbeats
from windtunnel.reconciler.broker import Broker, Held
from windtunnel.reconciler.database import Database
from windtunnel.reconciler.disk_watch import Watch
from windtunnel.reconciler.leases import Leases
from windtunnel.reconciler.machine import Machine
from windtunnel.reconciler.silent_tasks import LOOK_SECONDS, SILENT_SECONDS, Silences, alive_here, api_server, api_server_well
from windtunnel.settings import Settings, load

TICK_SECONDS = 2.0
#: How long everything must have been well: for tasks whose processes are known to be dead, and for guesses from absence.
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


class Reconciler:
    """Everything it knows between two rounds; losing it only delays things."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.run / "reconciler"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.heartbeats = settings.run / "heartbeats"
        self.broker = Broker(settings.secret("broker-url"))
        self.database = Database(settings.secret("database-url").replace("+psycopg2", "", 1))
        self.machine = Machine(settings, self.say)
        self.leases = Leases(settings, self.broker, self.say)
        self.disk = Watch(settings.state, self.say)
        api = api_server(settings)
        self.silences = Silences(SILENT_SECONDS, lambda: api_server_well(api), lambda: alive_here(settings))
        self.well_since = 0.0
        self.absent: set[str] = set()
        self.due = {"sweep": 0.0, "schedulers": 0.0, "machine": 0.0, "heartbeats": 0.0, "silent": 0.0, "clean": time.monotonic() + 30.0}
        self.data: dict[str, Any] = {
            **{"version": 1, "pid": os.getpid(), "started": time.time(), "incidents": []},
            **{"lost_tasks": 0, "lost_messages": 0, "restored_messages": 0, "deleted_results": 0, "dead_schedulers": 0},
        }
        self.stop = False

    def say(self, text: str, **counters: int) -> None:
        """One line, and kept for `status`."""
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} reconciler: {text}", flush=True)
        for name, value in counters.items():
            self.data[name] += value
        self.data["incidents"] = [*self.data["incidents"], {"time": time.time(), "text": text}][-20:]

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
                print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} reconciler: {now_state}", flush=True)
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
        """One round; what counts on absence begins anew where it could not work."""
        try:
            state = self.round(now)
        except (psycopg2.Error, redis.RedisError, OSError) as error:
            self.database.drop()
            state = f"waiting: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
        if not state.startswith("working"):
            self.well_since, self.absent = 0.0, set()
            self.leases.silence.reset()
            self.silences.interrupted()
        return state

    def round(self, now: float) -> str:
        """One look. Returns what it is doing, for `status`.

        Raises:
            psycopg2.Error, redis.RedisError, OSError: a part is away; nothing was half done that the next round cannot repeat.
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
        if not (lost or not self.well_since or now >= min(self.due[name] for name in ("sweep", "schedulers", "silent"))):
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
            if count := self.database.age_dead_schedulers(self.machine.schedulers()):
                self.say(f"{count} scheduler job(s) of dead processes: their tasks can be adopted", dead_schedulers=count)
        if now >= self.due["sweep"]:
            self.due["sweep"] = now + SWEEP_SECONDS
            if steady >= LONG_STEADY_SECONDS:
                self.sweep(now)
        if steady >= LONG_STEADY_SECONDS and now >= self.due["clean"]:
            self.due["clean"] = now + CLEAN_SECONDS
            if count := self.database.delete_old_results():
                self.say(f"deleted {count} old results of Celery", deleted_results=count)
        return "working"

    def give_back(self, lost: dict[str, dict[str, Any]]) -> None:
        """Tasks whose processes a supervisor has ended."""
        held = self.broker.unacked()
        for task_id, entry in lost.items():
            try:
                self.give_back_one(task_id, entry, held)
            except (ValueError, OverflowError) as error:  # a name that PostgreSQL cannot hold, a time beyond all calendars
                self.broker.forget(task_id)
                self.say(f"dropped the report of a lost task that makes no sense: {task_id!r}: {error}")

    def give_back_one(self, task_id: str, entry: dict[str, Any], held: dict[str, Held]) -> None:
        """One of them. Raises ValueError or OverflowError where the report holds what no worker of ours writes."""
        name = ledger.describe(task_id, entry)
        if entry.get("callback"):
            self.give_back_callback(task_id, entry, held, name)
        else:
            self.give_back_task(task_id, entry, held, name)

    def give_back_task(self, task_id: str, entry: dict[str, Any], held: dict[str, Held], name: str) -> None:
        """The scheduler retries or fails it; one that had not begun goes back into its queue."""
        names = (str(entry.get("worker", "")), str(entry.get("hostname", "")))
        states = self.database.age_heartbeat(task_id, names, _seconds(entry.get("noted")))
        if states == "running":
            return  # aged; the entry stays until the scheduler has acted
        if states == "queued" and task_id in held:
            if self.broker.restore(task_id, held[task_id]):
                self.say(f"put {name} back into its queue: its worker died before it began", restored_messages=1)
            return
        self.drop(task_id, held)
        if states != "queued":
            self.database.forget_result(task_id)
            self.say(f"{name} is {states or 'gone'} after its worker was lost", lost_tasks=1)

    def drop(self, task_id: str, held: dict[str, Held]) -> None:
        """Nobody needs the message or the report any more."""
        if task_id in held:
            self.broker.discard(held[task_id])
        self.broker.forget(task_id)

    def give_back_callback(self, task_id: str, entry: dict[str, Any], held: dict[str, Held], name: str) -> None:
        """A callback has no retry policy, and its executor slot is free only with a result: it runs again under the same id."""
        self.database.forget_result(task_id)
        state = self.database.callback_state(str(entry["callback"]))
        if task_id in held and state in UNFINISHED_CALLBACK:
            if self.broker.restore(task_id, held[task_id]):
                self.say(f"put {name} back into its queue: its worker died while it ran", restored_messages=1)
            return
        self.drop(task_id, held)
        self.say(f"{name} is {state or 'gone'} after its worker was lost", lost_tasks=1)

    def end_silent(self, now: float) -> None:
        """Running task instances whose heartbeats stopped while everything was well: their host has vanished."""
        running = self.database.running()
        for key in self.silences.look(now, {key: beat for key, (beat, _) in running.items()}):
            beat, name = running[key]
            if self.database.age_silent(key, beat):
                self.say(f"{name} sent no heartbeat for {SILENT_SECONDS:.0f} s while everything was well", lost_tasks=1)

    def sweep(self, now: float) -> None:
        """Queued task instances whose message nobody has, seen twice; messages still held whose task has long ended."""
        start = time.monotonic()
        queued = self.database.queued()
        held = self.broker.unacked()
        absent: set[str] = set()
        if queued:
            # Read after the database: what was taken from a queue meanwhile is not queued any more when it is asked again below.
            absent = set(queued) - self.broker.message_ids(set(queued.values())) - set(self.broker.unacked())
        for task_id in absent & self.absent:
            if name := self.database.age_queued(task_id):
                self.say(f"the message of {name} is nowhere: the scheduler is made to queue it again", lost_messages=1)
        self.absent = absent
        for task_id in self.database.finished(list(held)):
            self.broker.discard(held.pop(task_id))
            self.say(f"removed the message of Celery task {task_id}: it ended, and its worker died before it could say so")
        self.leases.check(held, now)
        took = time.monotonic() - start
        self.data |= {"last_sweep": time.time(), "last_sweep_seconds": round(took, 3), "queued": len(queued)}
        self.due["sweep"] = now + max(SWEEP_SECONDS, took / SWEEP_SHARE)


def _seconds(value: object) -> float:
    """A time that somebody else wrote; 0 where it is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def main() -> int:
    try:
        return Reconciler(load(client=False)).run()
    except WindtunnelError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.code)
