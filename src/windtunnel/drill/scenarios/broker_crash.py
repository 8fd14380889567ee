"""Row 2: the broker is killed while tasks run and others are queued."""

from __future__ import annotations

import time
from functools import partial

from windtunnel.drill.cluster import Checks, LocalStack, Run
from windtunnel.drill.steps import (
    launch,
    log,
    marks_of,
    seconds_until,
    wait_running,
    wait_until,
)
from windtunnel.drill.verdicts import all_succeed_once, no_message_left


def broker_killed_while_tasks_run(
    cluster: LocalStack,
    checks: Checks,
    queued: int = 10,
    long: float = 40,
) -> None:
    """Every slot but one holds a long task, one a short; behind them a queue. Then `kill -9`."""
    cluster.scale(1)
    lasting = launch(cluster, "steady", max(cluster.slots - 1, 1), seconds=long)
    passing = launch(cluster, "steady", 1, seconds=5)
    wait_running(cluster, lasting + (passing if cluster.slots > 1 else []))
    waiting = launch(cluster, "steady", queued, seconds=0.2)
    wait_until(
        "the queue to fill",
        lambda: cluster.messages().get("default", 0) >= queued,
        60,
        saw=cluster.messages,
    )
    _kill_and_return(cluster)

    rest = passing + waiting
    quick = seconds_until(
        "the queued tasks to end",
        lambda: len(marks_of(cluster, rest, "end")) >= len(rest),
        long,
    )
    checks.add(
        "queued tasks go on beside the long one",
        quick is not None,
        f"after {quick:.1f} s" if quick else f"not within {long:g} s",
    )
    began = time.monotonic()
    late = launch(cluster, "steady", 1, seconds=0)
    start = seconds_until(
        "a new task to start",
        lambda: marks_of(cluster, late, "start"),
        long,
        since=began,
        every=0.05,
    )
    busy = not marks_of(cluster, lasting, "end")
    checks.within("a task submitted after the restart starts on an idle slot", 5, start, long)
    checks.add(
        "while the long one still runs",
        busy,
        "it ran on" if busy else "it had ended already",
    )
    all_succeed_once(checks, cluster, lasting + rest + late, long + 60)
    no_message_left(checks, cluster)


def broker_killed_again_and_again(
    cluster: LocalStack,
    checks: Checks,
    cycles: int = 3,
    growth: int = 20,
) -> None:
    """Kill the broker again and again: workers go on consuming and leak no file descriptors."""
    names = sorted(cluster.workers())
    first = {name: cluster.open_files(name) for name in names}
    slowest, runs = 0.0, []
    for cycle in range(cycles):
        log.info("cycle %d of %d", cycle + 1, cycles)
        _kill_and_return(cluster)
        back = time.monotonic()
        run = launch(cluster, "steady", max(1, len(names) * cluster.slots), seconds=0.2)
        runs += run
        took = seconds_until(
            "the next tasks to end",
            partial(_have_ended, cluster, run),
            90,
            since=back,
        )
        slowest = max(slowest, took if took is not None else 90)
        if took is None:
            break
    checks.add(
        "after each kill the next tasks run within 30 s",
        slowest <= 30,
        f"slowest {slowest:.1f} s of {cycles} cycles",
    )
    all_succeed_once(checks, cluster, runs, 60)
    last = {name: cluster.open_files(name) for name in names}
    worst = max((last[name] - first[name] for name in names), default=0)
    words = ", ".join(f"{name} {first[name]} then {last[name]}" for name in names)
    checks.add(f"file descriptors of a worker grow by {growth} at most", worst <= growth, words)
    no_message_left(checks, cluster)


def _have_ended(cluster: LocalStack, runs: list[Run]) -> bool:
    return len(marks_of(cluster, runs, "end")) == len(runs)


def _kill_and_return(cluster: LocalStack) -> None:
    before = cluster.main_pid(cluster.broker)
    cluster.kill(cluster.broker)
    wait_until(
        "the broker to be back",
        lambda: (
            cluster.main_pid(cluster.broker) not in (None, before) and cluster.up(cluster.broker)
        ),
        60,
        every=0.05,
    )
