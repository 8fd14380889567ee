"""Ends everything a dead worker left behind, before anyone may run its tasks again.

SIGKILL and nothing milder: a task process that is asked politely may go on for a while, and a second copy must never run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from windtunnel import procfs
from windtunnel.procfs import Process

ROUNDS = 100
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Generation:
    """One Celery worker that was started: the session it leads. A pid counts only with its start time and boot."""

    sid: int
    start: int
    boot: str


def _session(processes: Mapping[int, Process], generation: Generation | None) -> set[int]:
    if generation is None or generation.boot != procfs.boot_id():
        return set()
    leader = processes.get(generation.sid)
    if leader is not None and leader.start != generation.start:
        # The kernel gives a number out again only when no process uses it, also not as its session's: all of ours are gone.
        return set()
    return {p.pid for p in processes.values() if p.sid == generation.sid}


def leftovers(worker: str, state: str, generation: Generation | None, owner: int | None = None) -> set[int]:
    """Processes of that worker: its session, children that `owner` inherited, programs with its marks, and all below them.

    Args:
        worker: value of WINDTUNNEL_WORKER in its tree.
        state: value of WINDTUNNEL_STATE there.
        owner: a supervisor (subreaper) whose children all belong to the worker.
    """
    processes = procfs.snapshot()
    roots = _session(processes, generation)
    for p in processes.values():
        if owner is not None and p.ppid == owner:
            roots.add(p.pid)
        elif p.pid not in roots:
            env = procfs.environment(p.pid)
            if env.get("WINDTUNNEL_WORKER") == worker and env.get("WINDTUNNEL_STATE") == state:
                roots.add(p.pid)
    found = procfs.descendants(roots, processes)
    spare = {os.getpid(), os.getppid(), 1} | ({owner} if owner else set())
    return {pid for pid in found - spare if processes[pid].state not in "ZX"}


def fence(
    worker: str,
    state: str,
    generation: Generation | None,
    owner: int | None = None,
    reap: Callable[[], object] = lambda: None,
) -> list[int]:
    """Kills what is left of a worker until nothing is. Returns the pids that were killed.

    Raises:
        RuntimeError: something is left after 5 s (a process in uninterruptible sleep, as on dead network storage).
    """
    killed: set[int] = set()
    for _ in range(ROUNDS):
        left = leftovers(worker, state, generation, owner)
        if not left:
            return sorted(killed)
        for pid in left:
            if procfs.kill(pid):
                killed.add(pid)
        reap()
        time.sleep(PAUSE_SECONDS)
        reap()
    raise RuntimeError(f"processes of {worker} cannot be killed: {sorted(left)}")
