"""Row 5: PostgreSQL is down while tasks run, end and wait."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import (
    launch,
    log,
    marks_of,
    seconds_until,
    wait_running,
    wait_until,
)
from windtunnel.drill.verdicts import all_succeed_once

#: Every component is back by itself this many seconds after the database.
BACK = 30.0


def database_away(
    cluster: LocalStack,
    checks: Checks,
    seconds: float = 20,
    queued: int = 4,
    short: float | None = None,
    long: float | None = None,
) -> None:
    """PostgreSQL is stopped under a task that ends meanwhile, one that does not, and a queue.

    Args:
        seconds: how long it is away.
        short, long: lengths of the two tasks; half and one and a half times the outage by default.
    """
    short, long = short or seconds / 2, long or seconds * 1.5
    cluster.scale(1)
    running = launch(cluster, "steady", 1, seconds=short) + launch(
        cluster,
        "steady",
        1,
        seconds=long,
    )
    wait_running(cluster, running if cluster.slots > 1 else running[:1])
    runs = running + launch(cluster, "steady", queued, seconds=0.2)
    time.sleep(2)
    cluster.stop("postgres")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        log.info("PostgreSQL is away for %.0f s more", end - time.monotonic())
        time.sleep(min(1, max(end - time.monotonic(), 0)))
    ended = len(marks_of(cluster, running, "end"))
    checks.add(
        "tasks run on and end without the database",
        ended >= 1 or short >= seconds,
        f"{ended} of {len(running)} ended meanwhile",
    )
    cluster.start("postgres")
    _recovered(checks, cluster)
    all_succeed_once(checks, cluster, runs, long + 120)
    _slots_whole(checks, cluster)


def database_killed(
    cluster: LocalStack,
    checks: Checks,
    seconds: float = 15,
    queued: int = 4,
) -> None:
    """SIGKILL to PostgreSQL's main process while tasks run; process-compose starts it again."""
    cluster.scale(1)
    running = launch(cluster, "steady", cluster.slots, seconds=seconds)
    wait_running(cluster, running)
    runs = running + launch(cluster, "steady", queued, seconds=0.2)
    before = cluster.main_pid("postgres")
    cluster.kill("postgres")
    wait_until("another PostgreSQL", lambda: cluster.main_pid("postgres") not in (None, before), 60)
    _recovered(checks, cluster)
    all_succeed_once(checks, cluster, runs, seconds + 120)
    _slots_whole(checks, cluster)


def _recovered(checks: Checks, cluster: LocalStack) -> None:
    wait_until("PostgreSQL to answer", lambda: cluster.up("postgres"), 120)
    back = time.time()
    took = seconds_until(
        "every component to be back",
        lambda: not cluster.unhealthy(since=back),
        120,
        every=0.5,
    )
    checks.within("every component is back by itself", BACK, took, 120)


def _slots_whole(checks: Checks, cluster: LocalStack) -> None:
    """Count the worker's slots by running tasks at once, the executor's by open results."""
    runs = launch(cluster, "steady", cluster.slots, seconds=5)
    began = seconds_until(
        "every slot to be used",
        lambda: len(marks_of(cluster, runs, "start")) == len(runs),
        30,
    )
    together = began is not None and not marks_of(cluster, runs, "end")
    checks.add(
        "every slot works at once afterwards",
        together,
        f"{len(marks_of(cluster, runs, 'start'))} of {cluster.slots}",
    )
    all_succeed_once(checks, cluster, runs, 60, "tasks on them")
    left = seconds_until("no result to be awaited", lambda: cluster.open_results() == 0, 30)
    checks.add(
        "the executor awaits no result for ever",
        left is not None,
        f"{cluster.open_results()} open",
    )
