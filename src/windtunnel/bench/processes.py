"""CPU and memory of a whole stack, by the process that process-compose started."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import psutil

from windtunnel.clients.process_compose import Compose
from windtunnel.system import procfs

#: process-compose itself and what it ran for a moment: probes, one-shots.
SUPERVISOR = "process-compose"


def roles(client: Compose) -> dict[int, str]:
    """pid -> name of every living process; descendants count to their process-compose process."""
    started = {p.pid: p.name for p in client.processes() if p.is_running and p.pid > 0}
    processes = procfs.snapshot()
    root = next((processes[pid].ppid for pid in started if pid in processes), 0)
    found = dict.fromkeys(procfs.descendants([root], processes), SUPERVISOR) if root > 1 else {}
    for pid, name in started.items():
        found |= dict.fromkeys(procfs.descendants([pid], processes), name)
    return found


def cpu(client: Compose) -> dict[str, float]:
    """CPU-seconds used so far by name, those of ended children that were waited for included.

    The difference of two calls is what the stack used between them.
    It includes processes that came and went meanwhile.
    """
    used: dict[str, float] = {}
    for pid, name in roles(client).items():
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        used[name] = (
            used.get(name, 0.0)
            + times.user
            + times.system
            + times.children_user
            + times.children_system
        )
    return used


def pss(client: Compose) -> dict[str, float]:
    """MiB by name: proportional set size, which counts a shared page once."""
    held: dict[str, float] = {}
    for pid, name in roles(client).items():
        try:
            size = psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
        held[name] = held.get(name, 0.0) + size / 2**20
    return held


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """After minus before, by name."""
    return {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {*before, *after}}


def family(leader: int) -> list[psutil.Process]:
    """A session's leader, all below it, and orphans of its session; the leader first."""
    processes = procfs.snapshot()
    found = procfs.descendants([leader], processes) if leader in processes else set()
    found |= {p.pid for p in processes.values() if p.sid == leader}
    family = []
    for pid in sorted(found, key=lambda pid: pid != leader):
        with contextlib.suppress(psutil.NoSuchProcess):
            family.append(psutil.Process(pid))
    return family
