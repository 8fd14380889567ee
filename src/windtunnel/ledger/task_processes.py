"""Finds the task that a process belongs to, even if the process's parents have ended.

- A program that was started with `exec` has WINDTUNNEL_TASK in its environment.
- A process that a task forked without `exec` has the task's title, and hides its environment.
  Airflow sets the title before it loads any code of a DAG.
- Any other process, such as a program behind `sudo` or `env -i`, is recognized by its pid, process
  group or session. The processes below each task are listed every half second.
"""

from __future__ import annotations

from typing import Any

from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.ledger.survivors import task_instance
from windtunnel.system import procfs
from windtunnel.system.procfs import Process

EVERY_SECONDS = 0.5
#: Environment variable of a task's whole process tree: the Celery id (runtime/celery_signals.py).
TASK_VARIABLE = "WINDTUNNEL_TASK"


class TaskProcesses:
    """The tasks in hand, by Celery id, and the processes seen below each."""

    def __init__(self) -> None:
        self.in_hand: dict[str, dict[str, Any]] = {}
        self.before: set[str] = set()
        #: By pid: start and task.
        self.seen: dict[int, tuple[int, str]] = {}
        #: By pid and start: the tasks that may have started the process.
        self.unknown: dict[tuple[int, int], set[str]] = {}
        self.next = 0.0

    def look(self, files: WorkerFiles, now: float, soon: bool) -> dict[str, dict[str, Any]]:
        """The tasks in hand, at most half a second old; `soon` lists them at once."""
        if soon or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.before = set(self.in_hand)
            self.in_hand = files.in_hand()
            for task, entry in self.in_hand.items():
                for top in self._tops(entry):
                    self.seen |= {p.pid: (p.start, task) for p in procfs.family(top.pid)}
            for pid, (start, task) in list(self.seen.items()):
                if task not in self.in_hand and not procfs.alive(pid, start):
                    del self.seen[pid]
            for pid, start in list(self.unknown):
                if not procfs.alive(pid, start):
                    del self.unknown[pid, start]
        return self.in_hand

    def task_of(self, process: Process) -> str:
        """Celery id of the process's task; empty if not known."""
        marked = procfs.environment(process.pid).get(TASK_VARIABLE)
        if marked:
            return marked
        instance = task_instance(process.pid)
        if not instance:
            return self._remembered(process)
        for task, entry in self.in_hand.items():
            if entry.get("id") == instance:
                return task
        return ""

    def over(self, process: Process, sid: int) -> bool:
        """Whether the task of a process that lost its parent has ended.

        False if the process belongs to no known task.

        Args:
            sid: Celery's session.
        """
        task = self.task_of(process)
        if task:
            return not self._runs(task, process)
        if task_instance(process.pid):
            return True
        if process.sid == sid and process.pgrp == process.pid:
            return True  # a task's process itself: each leads a process group in Celery's session
        tasks = self.unknown.setdefault(process.key, {*self.in_hand, *self.before})
        return bool(tasks) and not any(self._runs(other, process) for other in tasks)

    def _remembered(self, process: Process) -> str:
        """The task below which the process, or the leader of its group or session, was seen.

        The kernel does not reuse a leader's number while its group or session has a member.
        """
        for number in (process.pid, process.pgrp, process.sid):
            start, task = self.seen.get(number, (0, ""))
            if task and (number != process.pid or start == process.start):
                self.seen[process.pid] = process.start, task
                return task
        return ""

    def _tops(self, entry: dict[str, Any]) -> list[Process]:
        """The task's process, below the pool child; empty if it was killed.

        Airflow's supervisor in the pool child then waits a minute for the sockets that the task's
        own children inherited (supervisor.py, SOCKET_CLEANUP_TIMEOUT). They would run on meanwhile.
        """
        pid = int(entry.get("pid") or 0)
        start = int(entry.get("start") or 0)
        if not pid or not procfs.alive(pid, start):
            return []
        below = map(procfs.read, procfs.children(pid))
        return [p for p in below if p is not None and p.state not in "ZX"]

    def _runs(self, task: str, process: Process) -> bool:
        """Whether a process of the task lives that can have started this one.

        Its age matters, because a task that resumes has the id of its first part.
        """
        tops = self._tops(self.in_hand.get(task, {}))
        return any(top.start <= process.start for top in tops)
