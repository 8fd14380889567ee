"""A memory control group for one process: the kernel's OOM killer acts on it alone.

Works where we may make control groups: as root, or in a delegated tree of version 2
(docs.kernel.org/admin-guide/cgroup-v2.html, "Delegation").
"""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def _own(kind: str) -> Path | None:
    """This process's group (cgroups(7), /proc/PID/cgroup).

    `kind` is `memory` in version 1 and empty in version 2.
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == kind:
            return (ROOT / kind if kind else ROOT) / path.lstrip("/")
    return None


def cage(pid: int, limit: int) -> Path | None:
    """Limit a process and its later forks to `limit` bytes.

    Returns the folder of the group, None where that is not allowed.
    """
    for kind, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        parent = _own(kind)
        if parent is None:
            continue
        folder = parent / f"windtunnel-{pid}"
        try:
            folder.mkdir(exist_ok=True)
            (folder / file).write_text(str(limit))
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            remove(folder)
            continue
        return folder
    return None


def oom_kills(folder: Path) -> int:
    """How many processes of the group the kernel's OOM killer took."""
    for file in ("memory.oom_control", "memory.events"):
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split() for line in (folder / file).read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def remove(folder: Path) -> None:
    """Once its processes are gone; a group that is still in use stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()
