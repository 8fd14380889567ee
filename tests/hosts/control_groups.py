"""The part of the machine's control groups that a host of the lab gets, under either version of the interface."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

TOP = Path("/sys/fs/cgroup")


def hierarchies() -> list[tuple[str, str]]:
    """(folder below /sys/fs/cgroup, mount options); one with an empty folder where the machine has version 2 only."""
    if (TOP / "cgroup.controllers").exists():
        return [("", "cgroup2")]
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        point, kind, options = Path(mount.split()[4]), rest.split()[0], rest.split()[2]
        if point.parent != TOP or kind not in ("cgroup", "cgroup2"):
            continue
        named = (
            "none,name=systemd"
            if point.name == "systemd"
            else ",".join(o for o in options.split(",") if o not in ("rw", "ro"))
        )
        found.append((point.name, "cgroup2" if kind == "cgroup2" else named))
    return found


def mount_list() -> str:
    """For init.sh: `v2`, or `folder=options` of every hierarchy."""
    found = hierarchies()
    return (
        "v2" if found[0][0] == "" else " ".join(f"{folder}={options}" for folder, options in found)
    )


def create(name: str) -> list[Path]:
    """A group of that name in every hierarchy."""
    made = []
    for folder, _ in hierarchies():
        group = TOP / folder / name
        if not folder:
            with contextlib.suppress(OSError):
                (TOP / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        group.mkdir(exist_ok=True)
        if folder == "cpuset":  # version 1 gives a new group no processor at all
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((TOP / folder / file).read_text())
        made.append(group)
    return made


def remove(groups: list[Path]) -> None:
    """The groups and all below them, as soon as their last process is gone."""
    for group in groups:
        for _ in range(50):
            for path in sorted(group.rglob("*"), key=lambda p: -len(p.parts)):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
            if not group.exists():
                break
            time.sleep(0.02)
