"""Steps that scenarios share: start work and wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from windtunnel.drill.cluster import Away, Cluster, LocalStack, Mark, Run, TaskInstance, Took

#: Each wait logs its purpose here. `drill` shows it, pytest keeps it.
log = logging.getLogger("windtunnel.drill.scenarios")
FINAL = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
T = TypeVar("T")


class NeverCame(AssertionError):
    """What a scenario cannot go on without did not come about in time."""


def seconds_until(
    what: str,
    condition: Callable[[], object],
    patience: float,
    since: float | None = None,
    every: float = 0.1,
) -> Took | None:
    """Seconds from `since` (monotonic, default now) until the condition holds.

    None where `patience` seconds pass first. A component that does not answer (`Away`) does not
    end the wait.
    """
    log.info("waiting for %s", what)
    since = time.monotonic() if since is None else since
    end = time.monotonic() + patience
    while True:
        try:
            if condition():
                took = time.monotonic() - since
                return Took(took, time.time() - took)
        except Away:
            pass
        if time.monotonic() > end:
            return None
        time.sleep(every)


def wait_until(
    what: str,
    condition: Callable[[], T],
    patience: float,
    every: float = 0.1,
    saw: Callable[[], object] | None = None,
) -> T:
    """The condition's value once it is true. Raises `NeverCame`, saying what was seen instead."""
    found: list[T] = []

    def holds() -> bool:
        if value := condition():
            found.append(value)
        return bool(found)

    if seconds_until(what, holds, patience, every=every) is None:
        try:
            instead = f"; seen: {saw()}" if saw else ""
        except Away as error:
            instead = f"; {error}"
        raise NeverCame(f"{what}: not within {patience:.0f} s{instead}")
    return found[0]


def meanwhile(
    what: str,
    condition: Callable[[], object],
    patience: float,
    since: float | None = None,
) -> Future[float | None]:
    """`seconds_until` in a thread, while the scenario looks at something else."""
    future: Future[float | None] = Future()
    began = time.monotonic() if since is None else since

    def run() -> None:
        try:
            future.set_result(seconds_until(what, condition, patience, since=began))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def launch(cluster: Cluster, dag_id: str, count: int = 1, **conf: object) -> list[Run]:
    """Trigger so many runs, each retried while Airflow's API is away for a moment."""
    runs = []
    for number in range(count):
        log.info("triggering %s %d/%d", dag_id, number + 1, count)
        runs.append(
            Run(
                dag_id,
                wait_until(
                    f"a run of {dag_id} to be accepted",
                    lambda: cluster.trigger(dag_id, dict(conf)),
                    60,
                    every=1,
                ),
            )
        )
    return runs


def marks_of(cluster: Cluster, runs: Iterable[Run], event: str | None = None) -> list[Mark]:
    """The side effects of these runs, oldest first; of one kind where `event` is given."""
    wanted = {(run.dag_id, run.run_id) for run in runs}
    return [
        mark
        for mark in cluster.marks()
        if (mark.dag_id, mark.run_id) in wanted and event in (None, mark.event)
    ]


def wait_running(cluster: Cluster, runs: list[Run], patience: float = 60) -> list[Mark]:
    """The first start of every run, once all have one. Each run has a single task."""

    def started() -> list[Mark]:
        first = {mark.run_id: mark for mark in reversed(marks_of(cluster, runs, "start"))}
        return [first[run.run_id] for run in runs] if len(first) == len(runs) else []

    return wait_until(
        f"{len(runs)} tasks to run",
        started,
        patience,
        saw=lambda: f"{len(marks_of(cluster, runs, 'start'))} starts",
    )


def ready(cluster: LocalStack, workers: int) -> None:
    """So many workers, all of them serving."""
    cluster.scale(workers)
    names = [f"worker-{number}" for number in range(workers)]
    wait_until(
        f"{workers} workers to serve",
        lambda: all(cluster.up(name) for name in names),
        120,
        saw=cluster.workers,
    )


def occupy(cluster: LocalStack, lab: str, seconds: float) -> list[Run]:
    """Start as many tasks as there are slots; returns once the lab worker has one."""
    runs = launch(
        cluster,
        "steady",
        cluster.slots * len(cluster.workers() | {lab}),
        seconds=seconds,
    )
    wait_until(
        f"{lab} to have a task",
        lambda: any(m.worker == lab for m in marks_of(cluster, runs, "start")),
        60,
        saw=lambda: sorted(m.worker for m in marks_of(cluster, runs, "start")),
    )
    return runs


def instances(cluster: Cluster, runs: Iterable[Run]) -> list[tuple[Run, TaskInstance]]:
    """Every task of these runs as Airflow records it now. Raises `Away`."""
    return [
        (run, instance)
        for run in runs
        for instance in cluster.task_instances(run.dag_id, run.run_id)
    ]


def wait_final(
    cluster: Cluster,
    runs: list[Run],
    patience: float,
) -> list[tuple[Run, TaskInstance]]:
    """Every task of these runs once all are in a final state, or as they are when patience ends."""
    left = list(runs)

    def over() -> bool:
        while left:
            rows = cluster.task_instances(left[0].dag_id, left[0].run_id)
            if not rows or any(row.state not in FINAL for row in rows):
                return False
            left.pop(0)
        return True

    seconds_until(f"{len(runs)} runs to end", over, patience, every=0.3)
    return wait_until("Airflow's API", lambda: instances(cluster, runs), 60, every=1)
