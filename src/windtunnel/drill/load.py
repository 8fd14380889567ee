"""A constant load in the background of a scenario, and the account of it at the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

from windtunnel.drill.cluster import Away, Checks, LocalStack, Mark, Run
from windtunnel.drill.steps import log, marks_of, seconds_until, wait_final
from windtunnel.drill.verdicts import no_message_left, overlaps, tally

#: Retries of each task of dags/load.py.
RETRIES = {"numbers": 2, "work": 2, "kinds": 100, "real": 100}


class Load:
    """Starts a run of `load` (short and long tasks) every few seconds while the block lasts.

    Args:
        every: seconds between two runs.
        tasks, seconds: parameters of each run.
        real, megabytes: with `real` each run has one more task for every ten, of so many seconds.
            That task forks or prints.
    """

    def __init__(
        self,
        cluster: LocalStack,
        every: float = 8,
        tasks: int = 8,
        seconds: float = 4,
        real: float = 0,
        megabytes: float = 20,
    ) -> None:
        self.cluster = cluster
        self.every = every
        self.conf = {"tasks": tasks, "seconds": seconds, "real": real, "megabytes": megabytes}
        self.runs: list[Run] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _go(self) -> None:
        while not self._stop.is_set():
            try:
                self.runs.append(Run("load", self.cluster.trigger("load", dict(self.conf))))
            except Away:
                self._stop.wait(1)
                continue
            self._stop.wait(self.every)


def settle(
    checks: Checks,
    cluster: LocalStack,
    load: Load,
    *,
    retries_allowed: bool,
    patience: float = 300,
) -> None:
    """Check that every task instance is in a final state that its retry policy explains.

    Side effects match, and no message is left.
    """
    rows = wait_final(cluster, load.runs, patience)
    counts = Counter(instance.state for _, instance in rows)
    checks.add(
        "every task has ended",
        set(counts) <= {"success", "failed", "upstream_failed", "skipped"},
        f"{len(load.runs)} runs: {tally(rows)}",
    )
    if retries_allowed:
        odd = [i for _, i in rows if i.state == "failed" and i.try_number < RETRIES[i.task_id] + 1]
        checks.add(
            "none failed before its retries were used up",
            not odd,
            f"{counts['failed']} failed, {len(odd)} too early",
        )
    else:
        retried = [i for _, i in rows if i.try_number > 1]
        checks.add(
            "none failed, none was retried",
            set(counts) <= {"success", "skipped"} and not retried,
            f"{tally(rows)}; {len(retried)} retried",
        )
    marks = marks_of(cluster, load.runs)
    ends = Counter(mark.task for mark in marks if mark.event == "end")
    tries = {
        (run.dag_id, run.run_id, i.task_id, i.map_index): i
        for run, i in rows
        if i.task_id in ("work", "real") and i.state != "skipped"
    }
    lost = [task for task, i in tries.items() if i.state == "success" and not ends[task]]
    # A try that was killed between its last act and its report is repeated: only a retry explains
    # a second end.
    doubled = [
        task
        for task, i in tries.items()
        if ends[task] > 1 and (i.try_number == 1 or not retries_allowed)
    ]
    repeated = sum(1 for task in tries if ends[task] > 1) - len(doubled)
    seen = (
        f"{len(tries)} tasks, {sum(ends.values())} ends; "
        f"{len(lost)} lost, {len(doubled)} doubled, {repeated} repeated by a retry"
    )
    checks.add("side effects match", not lost and not doubled and bool(tries), seen)
    two = overlaps(marks)
    checks.add("never two copies at once", not two, "; ".join(two[:3]) or "one at a time")
    nothing_left(checks, cluster, marks)


def nothing_left(checks: Checks, cluster: LocalStack, marks: list[Mark]) -> None:
    """No process, message or executor slot is left behind."""
    no_message_left(checks, cluster, 400)
    log.info("looking for leftover processes, results and slots")
    time.sleep(1)
    alive = cluster.alive(marks)
    checks.add(
        "no process of a task is left over",
        not alive,
        f"{len(alive)} of {len({(m.pid, m.start) for m in marks})}",
    )
    open_results = seconds_until(
        "no result to be awaited",
        lambda: cluster.open_results() == 0,
        400,
    )
    checks.add(
        "no slot of the executor is held for ever",
        open_results is not None,
        f"{cluster.open_results()} open results",
    )
