"""What a task leaves behind while its worker lives on.

The supervisor is the subreaper of its tree, so whatever loses its parent becomes its child. Two kinds matter:
a process of a task that is over (its pool child was killed, say by the kernel's OOM killer, or the task process was, and the
shell it had started runs on): it is ended, so that a retry never meets it; and the entry of a task whose pool child is gone.
A helper that a task detached on purpose is kept while that task runs and ended after it: nothing outlives its task.
"""

from __future__ import annotations

import os
import signal

from windtunnel import procfs
from windtunnel.worker_child import CeleryProcess
from windtunnel.worker_lost import Lost
from windtunnel.worker_options import Options
from windtunnel.worker_record import Record

EVERY_SECONDS = 2.0


class Orphans:
    """The list of own children is read at every look (one small file); the ledger every 2 s."""

    def __init__(self, options: Options, record: Record, lost: Lost) -> None:
        self.options = options
        self.record = record
        self.files = record.files
        self.lost = lost
        self.next = 0.0

    def check(self, celery: CeleryProcess, now: float) -> None:
        inherited = [pid for pid in procfs.children(os.getpid()) if pid != celery.pid]
        for pid in inherited:
            self._judge(pid, celery)
        if inherited or now >= self.next:
            self.next = now + EVERY_SECONDS
            for task_id, entry in self.files.in_hand().items():
                pid, start = int(entry.get("pid") or 0), int(entry.get("start") or 0)
                if pid and not procfs.alive(pid, start) and self.files.task(task_id).exists():
                    why = f"the process that ran it (pid {pid}) was killed, probably for lack of memory"
                    self.record.incident(f"a pool child (pid {pid}) died with a task in hand", restart=False)
                    self.lost.note(task_id, entry, why)
                elif pid:
                    self._continue(pid)

    def _judge(self, pid: int, celery: CeleryProcess) -> None:
        process = procfs.read(pid)
        if process is None or process.state in "ZX":
            return
        task = procfs.environment(pid).get("WINDTUNNEL_TASK", "")
        if task:
            entry = self.files.in_hand().get(task, {})
            over = not self._task_runs(entry)
        else:  # not readable: a task process itself, which leads its own process group in Celery's session
            over = process.sid == (celery.generation.sid if celery.generation else 0) and process.pgrp == pid
        if over:
            members = procfs.tree(pid)
            for member in members:
                procfs.kill(member)
            self.record.say(f"ended {len(members)} process(es) that outlived their task, pid {', '.join(map(str, members))}")

    def _task_runs(self, entry: dict[str, object]) -> bool:
        """Whether the pool child lives and has a task process.

        Where only the task process was killed, Airflow's supervisor in the pool child would wait a minute for the sockets
        that the task's own children inherited (supervisor.py, SOCKET_CLEANUP_TIMEOUT), and those would run on meanwhile.
        """
        pid, start = int(str(entry.get("pid") or 0)), int(str(entry.get("start") or 0))
        below = [procfs.read(child) for child in procfs.children(pid)] if procfs.alive(pid, start) else []
        return any(p is not None and p.state not in "ZX" for p in below)

    def _continue(self, pid: int) -> None:
        """A stopped pool child or task process would sit there until its heartbeat times out."""
        for member in (pid, *procfs.children(pid)):
            process = procfs.read(member)
            if process is not None and process.state == "T":
                self.record.incident(f"process {member} of a task was stopped by a signal: sent SIGCONT", restart=False)
                procfs.kill(member, signal.SIGCONT)
