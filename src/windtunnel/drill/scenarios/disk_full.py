"""Row 9: the file system of the state folder is full."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import launch, ready, seconds_until, wait_running
from windtunnel.drill.verdicts import all_succeed_once, no_message_left

#: Seconds. A component that had to stop is back this long after there is room.
#: `status` names the disk within one or two looks.
BACK, NAMED = 30.0, 15.0


def disk_full(
    cluster: LocalStack,
    checks: Checks,
    seconds: float = 30,
    queued: int = 4,
    megabytes: float = 3,
) -> None:
    """Filled to the last byte while one task is silent and another prints.

    Both end after there is room again.

    Args:
        seconds: how long it is full.
        megabytes: what the printing task prints, spread over its life.
    """
    ready(cluster, 1)
    life = seconds + 20
    silent = launch(cluster, "steady", 1, seconds=life)
    prints = launch(cluster, "steady", max(cluster.slots - 1, 1), seconds=life, megabytes=megabytes)
    marks = wait_running(cluster, silent + (prints if cluster.slots > 1 else []))
    waiting = launch(cluster, "steady", queued, seconds=0.2)
    with cluster.full_disk():
        full = time.monotonic()
        named = seconds_until(
            "`status` to name it",
            lambda: any(p.startswith("disk:") for p in cluster.problems()),
            60,
        )
        checks.within("`status` names the full file system", NAMED, named, 60)
        time.sleep(max(0.0, seconds - (time.monotonic() - full)))
        alive = len(cluster.alive(marks))
        checks.add(
            "running tasks live on",
            alive == len(marks),
            f"{alive} of {len(marks)} after {time.monotonic() - full:.0f} s",
        )
    back = seconds_until(
        "every component to be back",
        lambda: not cluster.unhealthy(),
        120,
        every=0.5,
    )
    checks.within("every component is back by itself", BACK, back, 120)
    all_succeed_once(checks, cluster, silent + prints + waiting, 180)
    no_message_left(checks, cluster)
