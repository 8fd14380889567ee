"""Row 3: a task that outlives its message's lease stays with its worker until that dies."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.scenarios.worker_crash import RETRIED, RETRY_DELAY, kill_worker
from windtunnel.drill.steps import (
    launch,
    marks_of,
    ready,
    seconds_until,
    wait_final,
    wait_running,
)
from windtunnel.drill.verdicts import overlaps

#: A helper marks each second.
HELPER_SILENT = 4.0


def long_task(cluster: LocalStack, checks: Checks, seconds: float = 75, workers: int = 2) -> None:
    """A task runs for `seconds` beside a helper that it detached; then its worker is killed."""
    ready(cluster, workers)
    before = cluster.deliveries()
    run = launch(cluster, "retry", seconds=seconds + 60, later_seconds=2, failures=0, helper=True)
    [mark] = wait_running(cluster, run)
    watched = _watch(cluster, mark.worker, seconds)
    checks.add(
        "the worker's entry for the task is there throughout",
        not watched,
        f"missing {watched} times",
    )
    delivered = cluster.deliveries() - before
    checks.add("the message is delivered once", delivered == 1, f"{delivered} deliveries")
    pulses = marks_of(cluster, run, "helper")
    silent = time.time() - max((m.time for m in pulses), default=0.0)
    checks.add(
        "the helper that the task detached lives",
        silent < HELPER_SILENT,
        f"last sign {silent:.1f} s ago",
    )

    killed, back = kill_worker(checks, cluster, mark, "")
    gone = seconds_until("the helper to end", lambda: not cluster.alive(pulses), 60, since=killed)
    checks.within("the helper is gone", RETRIED, gone, 60)
    again = seconds_until(
        "the retry",
        lambda: any(m.attempt > 1 for m in marks_of(cluster, run, "start")),
        120,
        since=killed,
    )
    checks.within("the retry runs", RETRIED + RETRY_DELAY, again, 120)
    [(_, instance)] = wait_final(cluster, run, 60)
    seen = f"{instance.state} at try {instance.try_number}"
    checks.add("the retry succeeds", instance.state == "success" and instance.try_number == 2, seen)
    two = overlaps(m for m in marks_of(cluster, run) if m.event != "helper")
    checks.add("never two copies at once", not two, "; ".join(two) or "one at a time")
    checks.within("the killed worker is back and in Flower", 20, back(), 90)


def _watch(cluster: LocalStack, worker: str, seconds: float) -> int:
    """How often the worker had no entry for its task, looked at twice a second."""
    missing, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        missing += cluster.in_hand(worker) == 0
        time.sleep(0.5)
    return missing
