"""Tasks that died with their worker.

Their processes are killed, each task's own log gets a line, and the reconciler gets a report by
way of the broker.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from windtunnel.brokers import choice
from windtunnel.ledger import ledger
from windtunnel.ledger.fence import Generation, Unkillable, fence
from windtunnel.ledger.survivors import Survivors, task_instance
from windtunnel.ledger.task_log import tell_log
from windtunnel.system.logs import Say
from windtunnel.system.procfs import Process
from windtunnel.system.waiting import wait_for

RETRY_SECONDS = 2.0


class Lost:
    """Fences and reports. No task is reported before its processes are killed.

    A report is kept in the ledger until the broker has it.
    """

    def __init__(
        self,
        files: ledger.WorkerFiles,
        state: Path,
        say: Say,
        survivors: Survivors | None = None,
    ) -> None:
        self.files = files
        self.state = state
        self.say = say
        self.survivors = survivors or Survivors()
        self.next_try = 0.0

    def fence_and_note(
        self,
        generation: Generation | None,
        owner: int | None,
        why: str,
        reap: Callable[[], object],
        task_of: Callable[[Process], str] = lambda process: "",
    ) -> None:
        """Kills the leftovers of a generation, then notes its tasks as lost.

        A task that a survivor may still run is not noted.

        Args:
            task_of: the Celery id of the task that a process belongs to; empty if not known.
        """
        entries = self.files.in_hand()
        instances = {str(entry["id"]) for entry in entries.values() if entry.get("id")}
        self.survivors.refresh()
        try:
            killed = fence(
                self.files.name,
                str(self.state),
                generation,
                owner,
                reap,
                instances,
                self.survivors.pids(),
            )
        except Unkillable as error:
            killed = error.killed
            for process in error.left:
                self.give_up(process, generation, task_of)
        if killed:
            pids = ", ".join(map(str, killed))
            text = f"ended {len(killed)} process(es) left behind, pid {pids} ({why})"
            self.say("processes_ended", text, level=logging.WARNING, pids=killed, why=why)
        for task_id, entry in self.files.in_hand().items():
            if not self.survivors.hold(task_id):
                self.note(task_id, entry, why)

    def give_up(
        self,
        process: Process,
        generation: Generation | None,
        task_of: Callable[[Process], str],
    ) -> None:
        """Names a process that cannot be killed, and holds back the tasks that it may run."""
        entries = self.files.in_hand()
        tasks = self._waiting_for(process, generation, entries, task_of)
        text = f"cannot end {self.survivors.add(process, tasks)}"
        level = logging.WARNING
        self.say("process_not_ended", text, level=level, pid=process.pid, tasks=sorted(tasks))
        for task_id in tasks:
            entry = entries[task_id]
            problem = f"{self.files.name} cannot end this task's process {process.pid}"
            tell_log(entry, f"{problem}: the task is not reported lost while that process lives")
            task = ledger.describe(task_id, entry)
            text = f"{task} is not reported lost while pid {process.pid} lives"
            ids = ledger.identity(task_id, entry)
            self.say("task_held_back", text, level=level, pid=process.pid, **ids)

    def _waiting_for(
        self,
        process: Process,
        generation: Generation | None,
        entries: Mapping[str, Mapping[str, Any]],
        task_of: Callable[[Process], str],
    ) -> set[str]:
        """The tasks that the process itself may run.

        A program that a task started is no task: no task waits for its end.
        """
        instance = task_instance(process.pid)
        begun = {key for key, entry in entries.items() if entry.get("pid")}
        if instance:
            return {key for key in begun if entries[key].get("id") == instance}
        # A task's process leads a process group in Celery's session.
        in_session = generation is not None and process.sid == generation.sid
        leads_group = process.pgrp == process.pid
        if not in_session or not leads_group or process.pid == process.sid:
            return set()
        return {task_of(process)} & begun or begun

    def note(self, task_id: str, entry: Mapping[str, Any], why: str) -> None:
        """Records the task as lost."""
        loss = f"{self.files.name} lost this task: {why}."
        next_step = "Its processes were ended; it is retried or failed by its retry policy."
        tell_log(entry, f"{loss} {next_step}")
        text = f"lost {ledger.describe(task_id, entry)}: {why}"
        ids = ledger.identity(task_id, entry)
        self.say("task_lost", text, level=logging.WARNING, why=why, **ids)
        try:
            self.files.give_up(task_id)
        except FileNotFoundError:
            pass
        except OSError as error:  # it stays in hand, and is noted at the next look
            text = f"cannot record that {task_id} is lost: {error}"
            self.say("loss_not_recorded", text, level=logging.WARNING, task=task_id)
        self.next_try = 0.0

    def send_if_due(self, now: float) -> None:
        if now >= self.next_try:
            self.next_try = now + RETRY_SECONDS
            waiting = self.files.given_up()
            if waiting and self._send(waiting):
                text = f"reported {len(waiting)} lost task(s) to the reconciler"
                self.say("losses_reported", text, tasks=sorted(waiting))

    def send(self, until: float) -> None:
        """Tries until a moment (monotonic).

        The next supervisor of this name, or the reconciler, sends the tasks that stay.
        """
        wait_for(self._all_sent, until - time.monotonic(), every=0.5)

    def _all_sent(self) -> bool:
        waiting = self.files.given_up()
        return not waiting or self._send(waiting)

    def _send(self, waiting: Mapping[str, Mapping[str, Any]]) -> bool:
        # If hosts have names of their own, Airflow records a task under the host's name.
        who = {"worker": self.files.name, "hostname": socket.getfqdn()}
        # An entry lacks the time of its loss if there was no room for it, or if it is damaged.
        unknown = {"noted": time.time()}
        reports = {key: json.dumps({**unknown, **entry, **who}) for key, entry in waiting.items()}
        try:
            url = (self.state / "secrets" / "broker-url").read_text().strip()
            broker = choice.of_url(url)
            if broker is None:
                return False  # nobody of ours looks after it
            broker.report_lost(url, reports)
        except OSError:
            return False
        for key in waiting:
            (self.files.lost / f"{key}.json").unlink(missing_ok=True)
        return True
