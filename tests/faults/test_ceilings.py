"""FR-11: ceilings for memory and task count that really take effect with Airflow 3's processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack_fixture import NewStack, Stack, read_marks, until


@pytest.fixture
def capped(new_stack: NewStack) -> Stack:
    stack = new_stack(
        WORKER_CONCURRENCY="2", WORKER_TASK_MEMORY_MB="400", WORKER_MAX_TASKS_PER_CHILD="2"
    )
    stack.up()
    return stack


def pool(stack: Stack) -> set[int]:
    """Pids of the pool's processes, as the worker itself tells them."""
    (details,) = stack.flower.details().values()
    return set(details["stats"]["pool"]["processes"])


def test_a_task_above_its_ceiling_is_killed_and_told_why_while_others_and_the_worker_go_on(
    capped: Stack, marks: Path
) -> None:
    beside = capped.trigger("steady", seconds=20, marks=marks)
    until("the other task runs", lambda: read_marks(marks))
    supervisor = capped.supervisor("worker-0")
    greedy, state = capped.run("memory", megabytes=600, seconds=30)
    assert state == "failed"
    log = capped.airflow.log("memory", greedy, "take")
    assert "WORKER_TASK_MEMORY_MB" in log and "Killed by worker-0" in log
    assert capped.finished("steady", beside) == "success"
    assert capped.supervisor("worker-0")["celery_pid"] == supervisor["celery_pid"]
    modest, state = capped.run("memory", megabytes=50, seconds=1)
    assert state == "success", capped.airflow.log("memory", modest, "take")

    # The ceiling of two tasks a child: after five more in two children, none of the first ones is left.
    first = pool(capped)
    assert capped.run("parallel", tasks=6, seconds=0)[1] == "success"
    until("every pool child was replaced", lambda: not first & pool(capped), 30)
    assert len(pool(capped)) == 2
