"""Row 8: the machine or the supervisor dies: `kill -9` of everything, then `up`."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import launch, marks_of, seconds_until, wait_final, wait_running
from windtunnel.drill.verdicts import no_message_left, once, overlaps, tally

#: Crashed tasks are retried within this many seconds of `up`.
RETRIED = 60.0


def everything_killed(
    cluster: LocalStack,
    checks: Checks,
    queued: int = 4,
    seconds: float = 20,
    spare_tasks: bool = True,
    patience: float = 180,
) -> None:
    """Tasks run, others are queued, and every process of the stack is killed at once.

    Args:
        spare_tasks: let the tasks' own processes live, as when only the supervisor and the
            services were killed. Then `up` must find and end them before it does anything else.
        patience: how long the retry is waited for.
    """
    cluster.scale(1)
    again = launch(cluster, "retry", 1, seconds=seconds, failures=0)
    never = launch(cluster, "steady", max(cluster.slots - 1, 1), seconds=seconds)
    marks = wait_running(cluster, again + (never if cluster.slots > 1 else []))
    waiting = launch(cluster, "steady", queued, seconds=0.2)
    time.sleep(3)
    pids = {mark.pid for mark in marks}
    count = cluster.kill_everything(spare=pids if spare_tasks else ())
    checks.add("everything is killed", count > 10, f"{count} processes")
    began = time.monotonic()
    cluster.bring_up()
    checks.add(
        "`up` ends what the dead stack left",
        not cluster.alive(marks),
        f"{len(cluster.alive(marks))} of {len(pids)} task processes live",
    )
    retried = seconds_until(
        "the crashed task to run again",
        lambda: any(m.attempt > 1 for m in marks_of(cluster, again, "start")),
        patience,
        since=began,
    )
    checks.within("the crashed task runs again after `up`", RETRIED, retried, patience)
    rows = wait_final(cluster, again, 60 + seconds)
    checks.add(
        "and succeeds",
        all(i.state == "success" and i.try_number == 2 for _, i in rows),
        tally(rows),
    )
    ended = len(marks_of(cluster, again, "end"))
    checks.add("its work ends once", ended == 1, f"{ended} ends")
    if cluster.slots > 1:
        rows = wait_final(cluster, never, 60)
        checks.add(
            "tasks without retries are failed, not lost",
            all(i.state == "failed" for _, i in rows),
            tally(rows),
        )
    rows = wait_final(cluster, waiting, 120)
    fine, words = once(marks_of(cluster, waiting))
    checks.add(
        "queued tasks run, each once",
        fine and all(i.state == "success" for _, i in rows),
        f"{tally(rows)}; {words}",
    )
    double = overlaps(marks_of(cluster, again + never + waiting))
    checks.add("never two copies at once", not double, "; ".join(double) or "one at a time")
    no_message_left(checks, cluster)
