"""Row 3: a worker is killed mid-task."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.drill.cluster import Checks, LocalStack, Mark
from windtunnel.drill.steps import (
    launch,
    marks_of,
    meanwhile,
    ready,
    seconds_until,
    wait_final,
    wait_running,
)
from windtunnel.drill.verdicts import overlaps

#: Seconds. The task's own retry_delay (dags/retry.py) comes on top of the 30 s.
REPORTED, GONE, RETRIED, BACK, RETRY_DELAY = 15.0, 5.0, 30.0, 20.0, 1.0


def worker_killed_mid_task(
    cluster: LocalStack,
    checks: Checks,
    part: str = "",
    seconds: float = 12,
    workers: int = 2,
    elsewhere: bool = True,
    patience: float = 120,
) -> None:
    """A worker dies under a task that may be retried.

    Args:
        part: "" for Celery's main process, "/supervisor" for what process-compose started.
        workers: 1 for the only worker there is: then its task waits for the new one.
        elsewhere: whether the retry must run on another worker. One that lost tasks lets another
            of its own machine go first (windtunnel.worker, YIELD_SECONDS).
            Of workers on other machines it knows nothing.
        patience: how long the retry is waited for.
    """
    ready(cluster, workers)
    run = launch(cluster, "retry", seconds=seconds, failures=0)
    [mark] = wait_running(cluster, run)
    killed, back = kill_worker(checks, cluster, mark, part)

    def retried() -> Mark | None:
        return next((m for m in marks_of(cluster, run, "start") if m.attempt > 1), None)

    again = seconds_until("the retry to run", retried, patience, since=killed)
    found = retried()
    where = "" if found is None else f"{found.worker}, before {mark.worker}"
    checks.within("the retry runs", RETRIED + RETRY_DELAY, again, patience, where)
    if workers > 1 and elsewhere:
        checks.add(
            "on another worker",
            found is not None and found.worker != mark.worker,
            found.worker if found else "nowhere",
        )
    [(_, instance)] = wait_final(cluster, run, 60 + seconds)
    ends = len(marks_of(cluster, run, "end"))
    seen = f"{instance.state} at try {instance.try_number}, {ends} end"
    checks.add(
        "the retry succeeds, once",
        instance.state == "success" and instance.try_number == 2 and ends == 1,
        seen,
    )
    found_two = overlaps(marks_of(cluster, run))
    checks.add("never two copies at once", not found_two, "; ".join(found_two) or "one at a time")
    checks.within("the killed worker is back and in Flower", BACK, back(), 90)


def worker_killed_under_a_task_without_retries(
    cluster: LocalStack,
    checks: Checks,
    part: str = "",
    seconds: float = 12,
    patience: float = 120,
) -> None:
    """A worker dies under a task that must not be repeated: it is failed, visibly, and not lost."""
    ready(cluster, 2)
    run = launch(cluster, "steady", seconds=seconds)
    [mark] = wait_running(cluster, run)
    killed, back = kill_worker(checks, cluster, mark, part)
    failed = seconds_until(
        "the task to be failed",
        lambda: cluster.task_instances("steady", run[0].run_id)[0].state == "failed",
        patience,
        killed,
    )
    checks.within("the task is failed", RETRIED, failed, patience)
    time.sleep(5)  # a second copy would come about now
    starts = len(marks_of(cluster, run, "start"))
    checks.add("and not run again", starts == 1, f"{starts} start")
    ends = len(marks_of(cluster, run, "end"))
    checks.add("nor does its process go on to the end", ends == 0, f"{ends} ends")
    checks.within("the killed worker is back and in Flower", BACK, back(), 90)


def kill_worker(
    checks: Checks,
    cluster: LocalStack,
    mark: Mark,
    part: str,
) -> tuple[float, Callable[[], float | None]]:
    """Kill the mark's worker.

    Returns:
        The moment, and a function that returns how long the worker took to be back.
    """
    worker, before = mark.worker, cluster.main_pid(mark.worker)
    moment, killed = time.time(), time.monotonic()
    cluster.kill(worker + part)
    back = meanwhile(
        f"{worker} to be back",
        lambda: cluster.main_pid(worker) not in (None, before) and cluster.up(worker),
        90,
        killed,
    )
    reported = meanwhile(
        "a report",
        lambda: cluster.incident(worker, moment, "task_lost"),
        60,
        killed,
    )
    gone = seconds_until(
        "the task's process to end",
        lambda: not cluster.alive([mark]),
        60,
        since=killed,
        every=0.05,
    )
    checks.within("the task's process is gone", GONE, gone, 60)
    checks.within("the loss is reported", REPORTED, reported.result(), 60)
    return killed, back.result
