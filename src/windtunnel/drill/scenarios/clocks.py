"""Row 10: the clock jumps, or the whole machine sleeps."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack, Mark, Run
from windtunnel.drill.steps import launch, ready, seconds_until, wait_running
from windtunnel.drill.verdicts import all_succeed_once, no_message_left

#: Everything answers again this long after the machine wakes, or its clock has jumped.
BACK = 30.0


def machine_asleep(cluster: LocalStack, checks: Checks, seconds: float = 60) -> None:
    """Every process of the stack is stopped and continued, as when a laptop is closed."""
    # The kernel's clocks go on while a process is stopped: a task of ours counts the sleep as
    # time spent.
    runs, marks = _running(cluster, life=seconds + 30)
    began = time.time()
    cluster.sleep(seconds)
    _nothing_happened(cluster, checks, runs, marks, began)


def clock_jump(cluster: LocalStack, checks: Checks, seconds: float = 600) -> None:
    """The clocks of all processes jump forward at once, as after a sleep or a step of NTP."""
    runs, marks = _running(cluster, life=40)
    before, began = cluster.clocks(), time.time()
    cluster.jump_clock(seconds)

    def missed() -> list[str]:
        return [
            name
            for name, ahead in cluster.clocks().items()
            if abs(ahead - before[name] - seconds) > 60
        ]

    reached = seconds_until(
        "every process to see the new time",
        lambda: not missed(),
        30,
        every=0.5,
    )
    checks.within(f"the jump of {seconds:g} s reaches {', '.join(sorted(before))}", 30, reached, 30)
    _nothing_happened(cluster, checks, runs, marks, began)


def _running(cluster: LocalStack, life: float) -> tuple[list[Run], list[Mark]]:
    ready(cluster, 1)
    runs = launch(cluster, "retry", 1, seconds=life, failures=0)
    if cluster.slots > 1:
        runs += launch(cluster, "steady", cluster.slots - 1, seconds=life)
    marks = wait_running(cluster, runs)
    return runs + launch(cluster, "steady", 2, seconds=0.2), marks


def _nothing_happened(
    cluster: LocalStack,
    checks: Checks,
    runs: list[Run],
    marks: list[Mark],
    began: float,
) -> None:
    alive = len(cluster.alive(marks))
    checks.add("running tasks live on", alive == len(marks), f"{alive} of {len(marks)}")
    back = seconds_until(
        "every component to answer",
        lambda: not cluster.unhealthy(),
        120,
        every=0.5,
    )
    checks.within("every component answers again", BACK, back, 120)
    all_succeed_once(checks, cluster, runs, 240)
    lost = cluster.incident(marks[0].worker, began, "task_lost")
    checks.add("no task is reported dead", lost is None, lost or "nothing reported")
    no_message_left(checks, cluster)
