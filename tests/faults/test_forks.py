"""Row 4 with real tasks: what a killed task forked ends with it, and what a living one forked stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT, Stack, read_marks, until
from windtunnel.drill.cluster import Mark
from windtunnel.stack.ports import free_offset
from windtunnel.system import procfs

CHILDREN = {"forked", "multiprocessing", "detached"}
#: Seconds until the end of a killed task is noticed.
NOTICED = 5.0
#: What scheduling and starting the retry may take beside that, on a loaded machine.
STARTS = 5.0


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    dags = str(ROOT / "tests" / "faults" / "dags")
    stack = Stack(
        tmp_path_factory.mktemp("forks") / "state",
        free_offset(),
        DAGS_FOLDER=dags,
        WORKER_CONCURRENCY="3",
        WORKER_TASK_MEMORY_MB="1400",
    )
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()


def of(marks: Path, event: str, attempt: int = 1) -> list[Mark]:
    return [m for m in read_marks(marks) if m.event == event and m.attempt == attempt]


def living(marks: Path, events: set[str]) -> set[tuple[str, int]]:
    return {
        (m.event, m.pid)
        for m in read_marks(marks)
        if m.event in events and procfs.alive(m.pid, m.start)
    }


def test_what_a_killed_task_forked_is_gone_before_its_retry_starts(
    forking: Stack, tmp_path: Path
) -> None:
    """Its forked children hide their environment and hold the sockets for whose end Airflow waits a minute."""
    mine, beside = tmp_path / "mine", tmp_path / "beside"
    kept = forking.trigger("keeps", marks=beside, seconds=25)
    run = forking.trigger("forks", marks=mine)
    until("the neighbour's helper pulses", lambda: of(beside, "start") and of(beside, "helper"))
    until(
        "the task and all that it forked run",
        lambda: of(mine, "start") and {m.event for m in read_marks(mine)} >= CHILDREN,
    )
    (started,) = of(mine, "start")
    os.kill(started.pid, signal.SIGKILL)
    killed = time.time()
    (again,) = until("the retry starts", lambda: of(mine, "start", attempt=2), 90)
    noticed = again.time - killed
    late = [m for m in read_marks(mine) if m.event in CHILDREN and m.time > again.time]
    assert not late and not living(mine, CHILDREN), (
        f"beside the retry: {late or living(mine, CHILDREN)}"
    )
    print(f"the retry started {noticed:.1f} s after the kill")
    assert noticed < NOTICED + STARTS, f"the retry started {noticed:.1f} s after the kill"
    # What the neighbour forked in the same way belongs to a living task.
    assert not of(beside, "end") and living(beside, {"helper"}), forking.settings.logs
    assert forking.finished("keeps", kept) == "success"
    until("the helper ends after its task", lambda: not living(beside, {"helper"}), 10)
    assert forking.finished("forks", run) == "success"
    assert "terminated by signal" in forking.airflow.log("forks", run, "work")


def test_what_a_killed_worker_left_forked_is_gone_before_the_retry_starts(
    forking: Stack, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    run = forking.trigger("forks", marks=mine)
    until(
        "the task and all that it forked run",
        lambda: of(mine, "start") and {m.event for m in read_marks(mine)} >= CHILDREN,
    )
    os.kill(forking.supervisor("worker-0")["celery_pid"], signal.SIGKILL)
    (again,) = until("the retry starts", lambda: of(mine, "start", attempt=2), 90)
    late = [m for m in read_marks(mine) if m.event in CHILDREN and m.time > again.time]
    assert not late and not living(mine, CHILDREN)
    assert forking.finished("forks", run) == "success"


def test_memory_of_a_program_that_a_thread_started_counts(forking: Stack) -> None:
    run, state = forking.run("threads")
    log = forking.airflow.log("threads", run, "take")
    assert state == "failed", log
    assert "WORKER_TASK_MEMORY_MB" in log
