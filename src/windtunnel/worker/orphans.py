"""What a task leaves behind while its worker lives on.

The supervisor is the subreaper of its tree, so whatever loses its parent becomes its child. Two kinds matter:
a process of a task that is over (its pool child was killed, say by the kernel's OOM killer, or the task process was, and what
it had forked or started runs on): it is ended, so that a retry never meets it; and the entry of a task whose pool child is gone.
A helper that a task detached on purpose is kept while that task runs and ended after it: nothing outlives its task.
"""

from __future__ import annotations

import os
import signal

from windtunnel.ledger.fence import Generation
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.ledger.task_processes import TaskProcesses
from windtunnel.system import procfs
from windtunnel.worker.celery_process import CeleryProcess
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record

EVERY_SECONDS = 2.0
#: How long a killed process may take to be gone before it counts as one that cannot be killed.
END_SECONDS = 10.0


class Orphans:
    """The list of own children is read at every look (a few small files); the ledger every 2 s."""

    def __init__(self, options: Options, record: Record, lost: Lost) -> None:
        self.options = options
        self.record = record
        self.files = record.files
        self.lost = lost
        self.tasks = TaskProcesses()
        self.next = 0.0
        self.ending: dict[tuple[int, int], float] = {}  # pid, start: killed at

    def check(self, celery: CeleryProcess, now: float) -> None:
        given_up = self.lost.survivors.pids()
        inherited = [pid for pid in procfs.children(os.getpid()) if pid != celery.pid and pid not in given_up]
        in_hand = self.tasks.look(self.files, now, soon=bool(inherited))
        for pid in inherited:
            self._judge(pid, celery.generation, now)
        self.ending = {key: since for key, since in self.ending.items() if key[0] not in given_up and procfs.alive(*key)}
        if inherited or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.lost.survivors.refresh()
            for task_id, entry in in_hand.items():
                pid, start = int(entry.get("pid") or 0), int(entry.get("start") or 0)
                if pid and procfs.alive(pid, start):
                    self._continue(pid)
                elif pid and not self.ending and not self.lost.survivors.hold(task_id) and self.files.task(task_id).exists():
                    why = f"the process that ran it (pid {pid}) was killed, probably for lack of memory"
                    self.record.incident(f"a pool child (pid {pid}) died with a task in hand", restart=False)
                    self.lost.note(task_id, entry, why)

    def _judge(self, pid: int, generation: Generation | None, now: float) -> None:
        process = procfs.read(pid)
        if process is None or process.state in "ZX" or not self.tasks.over(process, generation.sid if generation else 0):
            return
        given_up = self.lost.survivors.pids()
        members = [p for p in procfs.family(pid) if p.state not in "ZX" and p.pid not in given_up]
        told = [p for p in members if p.key not in self.ending and procfs.kill(p)]
        self.ending |= dict.fromkeys((p.key for p in told), now)
        if told:
            pids = ", ".join(str(p.pid) for p in told)
            self.record.say(f"ended {len(told)} process(es) that outlived their task, pid {pids}")
        for member in members:
            if now - self.ending.get(member.key, 0.0) > END_SECONDS and procfs.alive(*member.key):
                self.lost.give_up(member, generation, self.tasks.task_of)

    def _continue(self, pid: int) -> None:
        """A stopped pool child or task process would sit there until its heartbeat times out."""
        for member in (pid, *procfs.children(pid)):
            process = procfs.read(member)
            if process is not None and process.state == "T":
                self.record.incident(f"process {member} of a task was stopped by a signal: sent SIGCONT", restart=False)
                procfs.kill(process, signal.SIGCONT)
