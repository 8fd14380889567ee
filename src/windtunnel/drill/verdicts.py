"""Verdicts that scenarios share: all tasks succeeded, each ran once, no message is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from windtunnel.drill.cluster import Checks, Cluster, LocalStack, Mark, Run, TaskInstance
from windtunnel.drill.steps import marks_of, seconds_until, wait_final


def tally(rows: list[tuple[Run, TaskInstance]]) -> str:
    """Such as `11 success, 1 failed`."""
    counts: dict[str, int] = defaultdict(int)
    for _, instance in rows:
        counts[instance.state or "not scheduled"] += 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing"


def once(marks: Iterable[Mark]) -> tuple[bool, str]:
    """Whether every task started once and ended once, and in words what differs."""
    seen: dict[tuple[str, str, str, int], list[str]] = defaultdict(list)
    for mark in marks:
        if mark.event in ("start", "end"):
            seen[mark.task].append(mark.event)
    odd = {task: events for task, events in seen.items() if sorted(events) != ["end", "start"]}
    words = "; ".join(
        f"{task[0]}.{task[2]}[{task[3]}] {' '.join(events)}"
        for task, events in list(odd.items())[:3]
    )
    return (
        not odd,
        f"{len(seen)} tasks, each once"
        if not odd
        else f"{len(odd)} of {len(seen)} differ: {words}",
    )


def overlaps(marks: Iterable[Mark]) -> list[str]:
    """Tasks of which two copies lived at the same moment.

    A task at work leaves a `pulse` every second, so that a killed one's last sign of life is known.
    A copy that still gives signs after another has started is a second copy.
    """
    copies: dict[tuple[str, str, str, int], dict[tuple[str, int, int], list[float]]] = defaultdict(
        lambda: defaultdict(list),
    )
    for mark in marks:
        if mark.event != "helper":  # a process that the copy made; its pulses are the copy's
            copies[mark.task][mark.worker, mark.pid, mark.start].append(mark.time)
    found = []
    for task, lives in copies.items():
        spans = sorted((min(times), max(times), copy) for copy, times in lives.items())
        for (_, last, one), (first, _, other) in pairwise(spans):
            if first < last:
                found.append(
                    f"{task[0]}.{task[2]}[{task[3]}]: {one} still alive "
                    f"{last - first:.1f} s after {other} had started",
                )
    return found


def all_succeed_once(
    checks: Checks,
    cluster: Cluster,
    runs: list[Run],
    patience: float,
    what: str = "tasks",
) -> None:
    """The promise of most rows: nothing failed, nothing lost, nothing doubled."""
    rows = wait_final(cluster, runs, patience)
    checks.add(
        f"all {what} succeed",
        bool(rows) and all(i.state == "success" for _, i in rows),
        tally(rows),
    )
    retried = [i for _, i in rows if i.try_number > 1]
    checks.add("none was failed and retried", not retried, f"{len(retried)} retried")
    marks = marks_of(cluster, runs)
    fine, words = once(marks)
    silent = {run.run_id for run in runs} - {mark.run_id for mark in marks}
    checks.add(
        "side effects: each ran once",
        fine and not silent,
        words if not silent else f"{words}; {len(silent)} runs without any",
    )


#: A task that ends in the moment of the broker's death cannot be acknowledged. The reconciler
#: removes such a message a minute after the task's end (reconciler/reconciler.py,
#: `remove_finished`). Before that everything must have been well for half a minute.
SWEPT = 150.0


def no_message_left(checks: Checks, cluster: LocalStack, patience: float = SWEPT) -> None:
    """Nothing waits in a queue, nothing is held by a worker."""
    took = seconds_until(
        "no message to be left over",
        lambda: not any(cluster.messages().values()),
        patience,
    )
    seen = f"none after {took:.0f} s" if took is not None else str(cluster.messages())
    checks.add("no message is left over, `unacked` is empty", took is not None, seen)
