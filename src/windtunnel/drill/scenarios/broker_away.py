"""Row 1: the broker is down when the scheduler starts, or when tasks are to be queued."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Away, Checks, LocalStack, Run
from windtunnel.drill.steps import (
    instances,
    launch,
    log,
    marks_of,
    meanwhile,
    seconds_until,
    wait_final,
    wait_until,
)
from windtunnel.drill.verdicts import all_succeed_once, tally

#: Seconds. The scheduler's heartbeat never gets older than the first.
#: The first task starts within the second after the broker's return.
OLDEST_HEARTBEAT = 15.0
FIRST_START = 3.0
#: Flower tries every 2 s, and each attempt of its own takes up to 6 s.
IN_FLOWER = 20.0


def broker_away_while_tasks_wait(
    cluster: LocalStack,
    checks: Checks,
    tasks: int = 4,
    seconds: float = 20,
) -> None:
    """The broker is stopped, tasks are triggered, the broker returns after `seconds`."""
    # The first task of a worker imports what later ones find loaded: that is not what is measured
    # here.
    wait_final(cluster, launch(cluster, "steady", cluster.slots, seconds=0), 60)
    workers = cluster.workers()
    cluster.stop(cluster.broker)
    runs = launch(cluster, "steady", tasks, seconds=1)
    _watch(checks, cluster, runs, seconds)
    back = _return_of_the_broker(cluster)
    shown = meanwhile(
        "the workers to be in Flower",
        lambda: cluster.workers() == workers,
        60,
        since=back,
    )
    if not tasks:
        runs = launch(cluster, "steady", seconds=1)
    _first_start(checks, cluster, runs, back)
    checks.within("Flower shows the workers again", IN_FLOWER, shown.result(), 60)
    all_succeed_once(checks, cluster, runs, 60 + 3 * len(runs))


def scheduler_started_while_broker_away(
    cluster: LocalStack,
    checks: Checks,
    tasks: int = 2,
    seconds: float = 10,
) -> None:
    """The scheduler is started when there is no broker, and has tasks to send at once."""
    cluster.stop("scheduler")
    cluster.stop(cluster.broker)
    runs = launch(cluster, "steady", tasks, seconds=1)
    cluster.start("scheduler")
    up = seconds_until(
        "the scheduler to be up without a broker",
        lambda: cluster.scheduler_age() < 5,
        90,
    )
    checks.within("the scheduler comes up without a broker", 60, up, 90)
    _watch(checks, cluster, runs, seconds)
    back = _return_of_the_broker(cluster)
    _first_start(checks, cluster, runs, back)
    all_succeed_once(checks, cluster, runs, 60)


def scheduler_lost_while_broker_away(
    cluster: LocalStack,
    checks: Checks,
    tasks: int = 4,
    patience: float = 180,
) -> None:
    """The scheduler is killed while its memory alone holds tasks that it could not send."""
    cluster.stop(cluster.broker)
    runs = launch(cluster, "steady", tasks, seconds=1)
    wait_until(
        "the tasks to be queued in the scheduler",
        lambda: all(i.state == "queued" for _, i in instances(cluster, runs)),
        60,
        saw=lambda: tally(instances(cluster, runs)),
    )
    before = cluster.main_pid("scheduler")
    cluster.kill("scheduler")
    back_up = seconds_until(
        "a new scheduler",
        lambda: cluster.main_pid("scheduler") not in (None, before) and cluster.up("scheduler"),
        90,
    )
    checks.within("the scheduler is back by itself", 60, back_up, 90)
    _watch(checks, cluster, runs, 5)
    back = _return_of_the_broker(cluster)
    ended = seconds_until(
        "the orphaned tasks to run",
        lambda: len({m.task for m in marks_of(cluster, runs, "end")}) == tasks,
        patience,
        since=back,
    )
    checks.within(
        "what the lost scheduler held runs after the broker's return",
        120,
        ended,
        patience,
    )
    all_succeed_once(checks, cluster, runs, 30)


def _watch(checks: Checks, cluster: LocalStack, runs: list[Run], seconds: float) -> None:
    """The outage itself: the scheduler lives on, and nothing fails."""
    oldest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        log.info("the broker is away for %.0f s more", end - time.monotonic())
        try:
            oldest = max(oldest, cluster.scheduler_age())
        except Away:
            oldest = max(oldest, 3600.0)
        time.sleep(1)
    rows = instances(cluster, runs)
    checks.add(
        "meanwhile tasks wait and none fails",
        all(i.state in ("scheduled", "queued") for _, i in rows),
        tally(rows),
    )
    checks.add(
        f"the scheduler's heartbeat is never older than {OLDEST_HEARTBEAT:g} s",
        oldest <= OLDEST_HEARTBEAT,
        f"{oldest:.1f} s at most",
    )


def _return_of_the_broker(cluster: LocalStack) -> float:
    """Start it; the moment it answers, on the monotonic clock."""
    cluster.start(cluster.broker)
    wait_until("the broker to answer", lambda: cluster.up(cluster.broker), 60, every=0.05)
    return time.monotonic()


def _first_start(checks: Checks, cluster: LocalStack, runs: list[Run], back: float) -> None:
    """A task starts soon after the moment at which the broker answered again."""
    first = seconds_until(
        "the first task to start",
        lambda: marks_of(cluster, runs, "start"),
        60,
        since=back,
        every=0.05,
    )
    checks.within("the first task starts after the broker's return", FIRST_START, first, 60)
