"""Row 6: all workers are stopped while tasks wait, for as long as it takes."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import instances, launch, wait_until
from windtunnel.drill.verdicts import all_succeed_once, tally

#: Stock Airflow gives a waiting task up after 600 s, three times over (`task_queued_timeout`).
BEYOND_STOCK = 2400.0
DAY = 86400.0


def workers_away(cluster: LocalStack, checks: Checks, tasks: int = 20, hold: float = 20) -> None:
    """No worker at all, tasks queued, and the clocks that run against them moved on.

    The clocks are moved past their stock limits.
    The time at which a task was queued is set back in the database.
    The other clock, the token inside the message, is read from the message.
    """
    tasks = min(tasks, cluster.parallelism)
    names = sorted(cluster.workers())
    for name in names:
        cluster.stop(name)
    runs = launch(cluster, "steady", tasks, seconds=0)
    wait_until(
        "the tasks to wait at the broker",
        lambda: cluster.messages().get("default", 0) >= tasks,
        90,
        saw=cluster.messages,
    )
    life = cluster.token_life()
    checks.add(
        "a waiting task's token is good for days",
        life is not None and life > DAY,
        f"{life / DAY:.1f} days" if life and life > DAY else f"{(life or 0) / 60:.0f} min",
    )
    aged = cluster.age_queued_tasks(BEYOND_STOCK)
    checks.add(
        f"all of them have waited {BEYOND_STOCK / 60:.0f} min as far as Airflow knows",
        aged == tasks,
        f"{aged} of {tasks}",
    )
    time.sleep(hold)
    rows = instances(cluster, runs)
    checks.add(
        "they still wait",
        all(i.state == "queued" and i.try_number <= 1 for _, i in rows),
        tally(rows),
    )
    waiting = cluster.messages().get("default", 0)
    checks.add("each in one message", waiting == tasks, f"{waiting} messages")
    for name in names:
        cluster.start(name)
    all_succeed_once(checks, cluster, runs, 60 + 3 * tasks)
