"""Kills every process that a dead worker left behind, before anyone may run its tasks again.

It sends SIGKILL, since a task process may go on for a while after SIGTERM. A second copy of a task
must never run beside the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from windtunnel.ledger.survivors import task_instance
from windtunnel.system import procfs
from windtunnel.system.procfs import Process

#: After this long the fence gives up the rest: it belongs to another user, or hangs in the kernel.
#: process-compose kills a supervisor 10 s after the ceiling of its drain.
#: The supervisor must have fenced and reported by then.
SECONDS = 5.0
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Generation:
    """One start of a Celery worker, known by the session it leads.

    A pid names a process only together with its start time and boot.
    """

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
    """Pids of the members of a generation's session.

    Empty if the number was recorded before a reboot, or belongs to another process by now.
    """
    if generation is None or generation.boot != procfs.boot_id():
        return set()
    leader = processes.get(generation.sid)
    if leader is not None and leader.start != generation.start:
        # The kernel reuses a number only when no process has it, not even as its session.
        # So every member of the session is gone.
        return set()
    members: set[int] = set()
    for p in processes.values():
        if p.sid == generation.sid and p.start >= generation.start:
            members.add(p.pid)
    if leader is not None:
        return members
    # Any daemon outlives its leader, so a session of this number may belong to a stranger by now.
    return {pid for pid in members if _may_be_ours(pid)}


def _may_be_ours(pid: int) -> bool:
    """Whether the process has our variable in its environment, or hides its environment."""
    env = procfs.environment(pid)
    return not env or "WINDTUNNEL_WORKER" in env


def leftovers(
    worker: str,
    state: str,
    generation: Generation | None,
    owner: int | None = None,
    instances: Collection[str] = (),
) -> list[Process]:
    """All processes of a worker that are left.

    These are the members of its session, the children that `owner` inherited, and the programs with
    the worker's variables in their environment. All processes below them count too.

    Args:
        worker: value of WINDTUNNEL_WORKER in its tree.
        state: value of WINDTUNNEL_STATE there.
        owner: a supervisor (subreaper) whose children all belong to the worker.
        instances: ids of the task instances that it had in hand. A process that such a task
            forked has the task's title, and hides its environment.
    """
    processes = procfs.snapshot()
    roots = session(processes, generation)
    for p in processes.values():
        if owner is not None and p.ppid == owner:
            roots.add(p.pid)
        elif p.pid not in roots:
            env = procfs.environment(p.pid)
            same_worker = env.get("WINDTUNNEL_WORKER") == worker
            marked = same_worker and env.get("WINDTUNNEL_STATE") == state
            if marked or (not env and task_instance(p.pid) in instances):
                roots.add(p.pid)
    found = procfs.descendants(roots, processes)
    spare = {os.getpid(), os.getppid(), 1}
    if owner:
        spare.add(owner)
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
    """Kills the leftovers of a worker until none is left.

    Args:
        reap: called after each round of kills; it reaps the caller's ended children.
        given_up: pids of living processes that an earlier fence could not kill. They are spared.

    Returns:
        The pids that were killed.

    Raises:
        Unkillable: a process is left after `SECONDS`.
    """
    killed: set[int] = set()
    end = time.monotonic() + SECONDS
    while True:
        found = leftovers(worker, state, generation, owner, instances)
        left = [p for p in found if p.pid not in given_up]
        if not left:
            reap()  # a process may have ended by itself meanwhile
            return sorted(killed)
        if time.monotonic() > end:
            raise Unkillable(sorted(killed - {p.pid for p in left}), left)
        killed |= {p.pid for p in left if procfs.kill(p)}
        reap()
        time.sleep(PAUSE_SECONDS)
        reap()
