"""Ends processes that outlive their task while the worker lives on, and notices lost pool children.

The supervisor is the subreaper of its tree, so every process that loses its parent becomes its
child. Two cases matter:

- A process of a task that is over. Its pool child was killed, say by the kernel's OOM killer, or
  the task process was, and the rest runs on. It is killed, so that a retry never meets it.
- The ledger entry of a task whose pool child is gone. The task is noted as lost.

A helper that a task detached on purpose may run as long as the task, and is killed after it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

from windtunnel.ledger.fence import Generation
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.ledger.task_processes import TaskProcesses
from windtunnel.system import procfs
from windtunnel.worker.celery_process import CeleryProcess
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record

EVERY_SECONDS = 2.0
#: A killed process that is still there after this long counts as one that cannot be killed.
END_SECONDS = 10.0


class Orphans:
    """Lists the supervisor's own children at every look, and reads the ledger every 2 s."""

    def __init__(self, options: Options, record: Record, lost: Lost) -> None:
        self.options = options
        self.record = record
        self.files = record.files
        self.lost = lost
        self.tasks = TaskProcesses()
        self.next = 0.0
        self.ending: dict[tuple[int, int], float] = {}  # pid, start: when it was killed

    def check(self, celery: CeleryProcess, now: float) -> None:
        given_up = self.lost.survivors.pids()
        spare = {celery.pid, *given_up}
        inherited = [pid for pid in procfs.children(os.getpid()) if pid not in spare]
        in_hand = self.tasks.look(self.files, now, soon=bool(inherited))
        for pid in inherited:
            self._judge(pid, celery.generation, now)
        for pid, start in list(self.ending):
            if pid in given_up or not procfs.alive(pid, start):
                del self.ending[pid, start]
        if inherited or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.lost.survivors.refresh()
            for task_id, entry in in_hand.items():
                self._check_task(task_id, entry)

    def _check_task(self, task_id: str, entry: Mapping[str, Any]) -> None:
        """Continues a stopped task, and notes one as lost whose pool child is gone."""
        pid = int(entry.get("pid") or 0)
        start = int(entry.get("start") or 0)
        if not pid:
            return
        if procfs.alive(pid, start):
            self._continue(pid)
            return
        if self.ending or self.lost.survivors.hold(task_id):
            return
        if self.files.task(task_id).exists():
            text = f"a pool child (pid {pid}) died with a task in hand"
            self.record.incident("pool_child_died", text, pid=pid, task=task_id)
            why = f"the process that ran it (pid {pid}) was killed, probably for lack of memory"
            self.lost.note(task_id, entry, why)

    def _judge(self, pid: int, generation: Generation | None, now: float) -> None:
        """Kills an inherited process, and all below it, if its task is over."""
        process = procfs.read(pid)
        if process is None or process.state in "ZX":
            return
        if not self.tasks.over(process, generation.sid if generation else 0):
            return
        given_up = self.lost.survivors.pids()
        family = procfs.family(pid)
        members = [p for p in family if p.state not in "ZX" and p.pid not in given_up]
        killed = [p for p in members if p.key not in self.ending and procfs.kill(p)]
        for member in killed:
            self.ending[member.key] = now
        if killed:
            pids = ", ".join(str(p.pid) for p in killed)
            text = f"ended {len(killed)} process(es) that outlived their task, pid {pids}"
            numbers = [p.pid for p in killed]
            self.record.say("processes_ended", text, level=logging.WARNING, pids=numbers)
        for member in members:
            waited = now - self.ending.get(member.key, 0.0)
            if waited > END_SECONDS and procfs.alive(*member.key):
                self.lost.give_up(member, generation, self.tasks.task_of)

    def _continue(self, pid: int) -> None:
        """Sends SIGCONT to a stopped pool child or task process.

        Without it the task would hang until its heartbeat times out.
        """
        for member in (pid, *procfs.children(pid)):
            process = procfs.read(member)
            if process is not None and process.state == "T":
                text = f"process {member} of a task was stopped by a signal: sent SIGCONT"
                self.record.incident("process_continued", text, pid=member)
                procfs.kill(process, signal.SIGCONT)
