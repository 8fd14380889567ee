"""Which task a process belongs to, also when its parents have ended.

A program that was started with `exec` carries WINDTUNNEL_TASK. What a task forked without `exec` carries the task's title
(Airflow sets it before any code of a DAG is loaded), and hides its environment. Where a process shows neither, say behind
`sudo` or `env -i`, it is known by what was seen below the task: its pid, process group or session, looked at every half second.
"""

from __future__ import annotations

from typing import Any

from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.ledger.survivors import task_instance
from windtunnel.system import procfs
from windtunnel.system.procfs import Process

EVERY_SECONDS = 0.5
TASK_VARIABLE = "WINDTUNNEL_TASK"


class TaskProcesses:
    """The tasks in hand, by Celery id, and the processes seen below each."""

    def __init__(self) -> None:
        self.in_hand: dict[str, dict[str, Any]] = {}
        self.before: set[str] = set()
        self.seen: dict[int, tuple[int, str]] = {}  # pid: start, task
        self.unknown: dict[tuple[int, int], set[str]] = {}  # pid, start: the tasks that may have started it
        self.next = 0.0

    def look(self, files: WorkerFiles, now: float, soon: bool) -> dict[str, dict[str, Any]]:
        """The tasks in hand, half a second old at most; `soon` looks at once."""
        if soon or now >= self.next:
            self.next = now + EVERY_SECONDS
            self.before, self.in_hand = set(self.in_hand), files.in_hand()
            for task, entry in self.in_hand.items():
                for top in self._tops(entry):
                    self.seen |= {p.pid: (p.start, task) for p in procfs.family(top.pid)}
            self.seen = {pid: of for pid, of in self.seen.items() if of[1] in self.in_hand or procfs.alive(pid, of[0])}
            self.unknown = {key: tasks for key, tasks in self.unknown.items() if procfs.alive(*key)}
        return self.in_hand

    def task_of(self, process: Process) -> str:
        """Celery id of the process's task; empty where that is not known."""
        if task := procfs.environment(process.pid).get(TASK_VARIABLE):
            return task
        if instance := task_instance(process.pid):
            return next((task for task, entry in self.in_hand.items() if entry.get("id") == instance), "")
        return self._remembered(process)

    def over(self, process: Process, sid: int) -> bool:
        """Whether the task of a process that lost its parent has ended. False where it belongs to no task, as far as is known.

        Args:
            sid: Celery's session.
        """
        if task := self.task_of(process):
            return not self._runs(task, process)
        if task_instance(process.pid):
            return True
        if process.sid == sid and process.pgrp == process.pid:
            return True  # a task's process itself: each leads a process group in Celery's session
        tasks = self.unknown.setdefault(process.key, {*self.in_hand, *self.before})
        return bool(tasks) and not any(self._runs(task, process) for task in tasks)

    def _remembered(self, process: Process) -> str:
        """A group or session keeps its leader's number while it has a member, so that the number is not another's."""
        for number in (process.pid, process.pgrp, process.sid):
            start, task = self.seen.get(number, (0, ""))
            if task and (number != process.pid or start == process.start):
                self.seen[process.pid] = process.start, task
                return task
        return ""

    def _tops(self, entry: dict[str, Any]) -> list[Process]:
        """The task's process, below the pool child: none where it was killed.

        Airflow's supervisor in the pool child then waits a minute for the sockets that the task's own children inherited
        (supervisor.py, SOCKET_CLEANUP_TIMEOUT), and those would run on meanwhile.
        """
        pid, start = int(entry.get("pid") or 0), int(entry.get("start") or 0)
        below = map(procfs.read, procfs.children(pid)) if pid and procfs.alive(pid, start) else ()
        return [p for p in below if p is not None and p.state not in "ZX"]

    def _runs(self, task: str, process: Process) -> bool:
        """Whether a task process lives that can have started this one: a task that resumes has the id of its first part."""
        return any(top.start <= process.start for top in self._tops(self.in_hand.get(task, {})))
