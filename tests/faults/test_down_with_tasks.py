"""Row 6: a stack that is taken down with tasks waiting runs them after the next `up`."""

from __future__ import annotations

from pathlib import Path

from tests.stack_fixture import NewStack, read_marks, until


def test_tasks_that_waited_at_down_run_after_the_next_up_each_once(new_stack: NewStack, marks: Path) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2")
    stack.up()
    stack.compose.stop("worker")
    runs = [stack.trigger("steady", seconds=0, marks=marks) for _ in range(10)]
    until("ten messages wait in Valkey", lambda: stack.broker.llen("default") == 10)
    assert stack.down().returncode == 0
    stack.up()
    assert [stack.finished("steady", run_id) for run_id in runs] == ["success"] * 10
    for event in ("start", "end"):
        assert sorted(m.run_id for m in read_marks(marks) if m.event == event) == sorted(runs)
    assert {t.try_number for run_id in runs for t in stack.tasks("steady", run_id)} == {1}
