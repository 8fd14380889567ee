"""Ends everything a dead worker left behind, before anyone may run its tasks again.

SIGKILL and nothing milder: a task process that is asked politely may go on for a while, and a second copy must never run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from windtunnel.ledger.survivors import task_instance
from windtunnel.system import procfs
from windtunnel.system.procfs import Process

#: After this long what is left is given up: it belongs to another user, or hangs in the kernel.
#: process-compose kills a supervisor 10 s after the ceiling of its drain: what it has to say must be said by then.
SECONDS = 5.0
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Generation:
    """One Celery worker that was started: the session it leads. A pid counts only with its start time and boot."""

    sid: int
    start: int
    boot: str


class Unkillable(RuntimeError):
    """Some processes were killed and others are still there."""

    def __init__(self, killed: list[int], left: list[Process]) -> None:
        super().__init__(f"processes that cannot be killed: {[p.pid for p in left]}")
        self.killed = killed
        self.left = left


def session(processes: Mapping[int, Process], generation: Generation | None) -> set[int]:
    """Its members. A number that was written down before a reboot, or that is another process's by now, has none."""
    if generation is None or generation.boot != procfs.boot_id():
        return set()
    leader = processes.get(generation.sid)
    if leader is not None and leader.start != generation.start:
        # The kernel gives a number out again only when no process uses it, also not as its session's: all of ours are gone.
        return set()
    members = {p.pid for p in processes.values() if p.sid == generation.sid and p.start >= generation.start}
    if leader is not None:
        return members
    # Any daemon outlives its leader, so the number alone may be a stranger's by now: a member bears our mark, or hides it.
    return {pid for pid in members if not (env := procfs.environment(pid)) or "WINDTUNNEL_WORKER" in env}


def leftovers(
    worker: str, state: str, generation: Generation | None, owner: int | None = None, instances: Collection[str] = ()
) -> list[Process]:
    """Processes of that worker: its session, children that `owner` inherited, programs with its marks, and all below them.

    Args:
        worker: value of WINDTUNNEL_WORKER in its tree.
        state: value of WINDTUNNEL_STATE there.
        owner: a supervisor (subreaper) whose children all belong to the worker.
        instances: ids of task instances that it had in hand. What such a task forked bears its title, and hides its marks.
    """
    processes = procfs.snapshot()
    roots = session(processes, generation)
    for p in processes.values():
        if owner is not None and p.ppid == owner:
            roots.add(p.pid)
        elif p.pid not in roots:
            env = procfs.environment(p.pid)
            marked = env.get("WINDTUNNEL_WORKER") == worker and env.get("WINDTUNNEL_STATE") == state
            if marked or (not env and task_instance(p.pid) in instances):
                roots.add(p.pid)
    found = procfs.descendants(roots, processes)
    spare = {os.getpid(), os.getppid(), 1} | ({owner} if owner else set())
    return [processes[pid] for pid in found - spare if processes[pid].state not in "ZX"]


def fence(
    worker: str,
    state: str,
    generation: Generation | None,
    owner: int | None = None,
    reap: Callable[[], object] = lambda: None,
    instances: Collection[str] = (),
    given_up: Collection[int] = (),
) -> list[int]:
    """Kills what is left of a worker until nothing is. Returns the pids that were killed.

    Args:
        given_up: pids of living processes that an earlier fence could not kill; they are left alone.

    Raises:
        Unkillable: something is left after `SECONDS`.
    """
    killed: set[int] = set()
    end = time.monotonic() + SECONDS
    while True:
        found = leftovers(worker, state, generation, owner, instances)
        left = [p for p in found if p.pid not in given_up]
        if not left:
            reap()  # what died by itself meanwhile
            return sorted(killed)
        if time.monotonic() > end:
            raise Unkillable(sorted(killed - {p.pid for p in left}), left)
        killed |= {p.pid for p in left if procfs.kill(p)}
        reap()
        time.sleep(PAUSE_SECONDS)
        reap()
