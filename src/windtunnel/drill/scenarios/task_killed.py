"""Row 4: a task's process is killed, by hand or by the kernel for want of memory."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Away, Checks, LocalStack, NotPossibleHere, Run
from windtunnel.drill.steps import launch, marks_of, seconds_until, wait_final, wait_running
from windtunnel.drill.verdicts import once

#: Seconds until Airflow has recorded the loss.
NOTICED = 10.0
#: Words of a log that say that a process was killed, and words that give the likely reason.
KILLED = ("killed", "terminated by signal")
MEMORY = ("memory", "oom")


def task_process_killed(cluster: LocalStack, checks: Checks, seconds: float = 15) -> None:
    """SIGKILL to the process of a task, with a neighbour on the same worker."""
    cluster.scale(1)
    neighbour = launch(cluster, "steady", max(cluster.slots - 1, 1), seconds=seconds)
    victim = launch(cluster, "retry", seconds=seconds / 3, failures=0)
    mark = wait_running(cluster, victim + (neighbour if cluster.slots > 1 else []))[0]
    main = cluster.main_pid(mark.worker)
    cluster.kill_process(mark)
    killed = time.monotonic()

    def is_recorded() -> bool:
        [instance] = cluster.task_instances("retry", victim[0].run_id)
        return instance.state == "up_for_retry" or instance.try_number > 1

    noticed = seconds_until("the loss to be recorded", is_recorded, 60, since=killed)
    checks.within("the task is up for retry or runs again", NOTICED, noticed, 60)
    _logged(checks, cluster, victim[0], "work")
    [(_, instance)] = wait_final(cluster, victim, 60)
    checks.add(
        "the retry succeeds",
        instance.state == "success" and instance.try_number == 2,
        f"{instance.state} at try {instance.try_number}",
    )
    rows = wait_final(cluster, neighbour, seconds + 30)
    fine, words = once(marks_of(cluster, neighbour))
    checks.add(
        "its neighbours are untouched",
        fine and all(i.state == "success" for _, i in rows),
        words,
    )
    checks.add(
        "the worker serves on",
        cluster.main_pid(mark.worker) == main,
        "the same process" if cluster.main_pid(mark.worker) == main else "another process",
    )


def task_out_of_memory(
    cluster: LocalStack,
    checks: Checks,
    megabytes: int = 300,
    limit: int = 150,
) -> None:
    """The kernel kills a task that takes more memory than its control group has.

    Raises `NotPossibleHere` where no control group can be made: no other signal proves this.
    """
    cluster.scale(1)
    main = cluster.main_pid("worker-0")
    run = launch(cluster, "memory", megabytes=megabytes, seconds=5)
    mark = wait_running(cluster, run)[0]
    if not cluster.cage(mark.pid, limit << 20):
        wait_final(cluster, run, 60)
        raise NotPossibleHere("this user may not make a memory control group")
    gone = seconds_until("the kernel to kill it", lambda: not cluster.alive([mark]), 60)
    killed = cluster.oom_kills()
    checks.add(
        "the kernel kills the task that takes too much",
        gone is not None and killed > 0,
        f"the kernel killed {killed}",
    )
    ends = len(marks_of(cluster, run, "end"))
    checks.add("before its end", ends == 0, f"{ends} ends")
    failed = seconds_until(
        "the task to be failed",
        lambda: cluster.task_instances("memory", run[0].run_id)[0].state == "failed",
        60,
    )
    checks.within("the task is failed", NOTICED, failed, 60)
    _logged(checks, cluster, run[0], "take", MEMORY)
    after = launch(cluster, "steady", cluster.slots, seconds=0)
    rows = wait_final(cluster, after, 60)
    serves = all(i.state == "success" for _, i in rows) and cluster.main_pid("worker-0") == main
    checks.add(
        "the worker serves on",
        serves,
        "the same process" if serves else "another process or failed tasks",
    )


def _logged(
    checks: Checks,
    cluster: LocalStack,
    run: Run,
    task: str,
    why: tuple[str, ...] = (),
) -> None:
    """The log of the killed try says that it was killed, and where asked also probably why."""
    text = ""

    def says_so() -> bool:
        nonlocal text
        text = cluster.log(run, task)
        was_killed = any(word in text.lower() for word in KILLED)
        has_reason = not why or any(word in text.lower() for word in why)
        return was_killed and has_reason

    try:
        found = seconds_until("the log to say so", says_so, 15, every=0.5) is not None
    except Away:
        found = False
    line = next(
        (line for line in text.splitlines() if any(word in line.lower() for word in KILLED)),
        "nothing of the kind",
    )
    checks.add("the task's log says it was killed" + (" and why" if why else ""), found, line[:110])
