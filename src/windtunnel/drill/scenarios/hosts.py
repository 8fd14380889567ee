"""Promises of several hosts beyond the failure table: shares, orderly stops, cut cables."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.drill.cluster import Checks, Cluster, LocalStack
from windtunnel.drill.steps import (
    launch,
    marks_of,
    occupy,
    seconds_until,
    wait_running,
    wait_until,
)
from windtunnel.drill.verdicts import all_succeed_once


def every_worker_has_a_share(
    cluster: Cluster,
    checks: Checks,
    tasks: int = 8,
    seconds: float = 4,
) -> None:
    """With more tasks than one worker has slots, every online worker executes some."""
    names = wait_until("workers", cluster.workers, 120)
    runs = launch(cluster, "steady", tasks, seconds=seconds)
    all_succeed_once(checks, cluster, runs, 60 + tasks * seconds)
    ran = {mark.worker for mark in marks_of(cluster, runs, "start")}
    checks.add(
        f"all {len(names)} workers execute tasks",
        names <= ran,
        f"{', '.join(sorted(ran))} of {', '.join(sorted(names))}",
    )


def worker_stopped_mid_task(
    cluster: Cluster,
    checks: Checks,
    seconds: float = 12,
    stop: Callable[[str], object] | None = None,
    ceiling: float = 60,
) -> None:
    """A worker is stopped in an orderly way with a task in hand.

    The task ends first, and the worker takes nothing new.

    Args:
        seconds: how long the task takes.
        stop: how, given the worker's name; `cluster.stop` by default. Returns when it has ended.
        ceiling: the most that stopping may take, in seconds.
    """
    run = launch(cluster, "steady", seconds=seconds)
    [mark] = wait_running(cluster, run)
    began = time.monotonic()
    (stop or cluster.stop)(mark.worker)
    checks.within("the worker ends", ceiling, time.monotonic() - began, ceiling)
    gone = seconds_until(
        "Flower to call it offline",
        lambda: mark.worker not in cluster.workers(),
        60,
    )
    checks.add(
        "Flower calls it offline",
        gone is not None,
        "it does" if gone is not None else "not within 60 s",
    )
    all_succeed_once(checks, cluster, run, 60, "tasks in hand")
    cluster.start(mark.worker)
    back = seconds_until("the worker to be back", lambda: mark.worker in cluster.workers(), 120)
    checks.add(
        "it is back when started again",
        back is not None,
        f"after {back:.0f} s" if back is not None else "not within 120 s",
    )


def worker_cut_off_and_healed(cluster: LocalStack, checks: Checks, seconds: float = 25) -> None:
    """The network of one worker's host is gone for `seconds` while it works.

    Its tasks end meanwhile.
    Unlike in the partition from the broker alone, the API server and the database may be out of
    reach as well. Then the end of a task is recorded when the network is back.
    """
    with cluster.lab_worker() as node:
        runs = occupy(cluster, node, seconds - 10)
        with cluster.partition(node):
            gone = seconds_until(
                "Flower to call it offline",
                lambda: node not in cluster.workers(),
                60,
            )
            checks.add(
                "Flower calls it offline",
                gone is not None,
                f"after {gone:.0f} s" if gone is not None else "not within 60 s",
            )
            time.sleep(max(0.0, seconds - (gone or 0)))
        back = seconds_until("the worker to be back", lambda: node in cluster.workers(), 60)
        checks.within("it is online again after healing", 30, back, 60)
        all_succeed_once(checks, cluster, runs, 60, "tasks in hand")
        every_worker_has_a_share(cluster, checks)
