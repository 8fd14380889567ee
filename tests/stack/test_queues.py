"""Queues route tasks to workers; slots bound how many run at once."""

from __future__ import annotations

from pathlib import Path

from tests.stack_fixture import NewStack, Stack, read_marks, until
from windtunnel.drill.cluster import Mark


def busiest(marks: list[Mark]) -> int:
    """The largest number of tasks that ran at the same moment."""
    events = sorted(
        (m.time, 1 if m.event == "start" else -1) for m in marks if m.event in ("start", "end")
    )
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


def test_a_heavy_task_waits_until_the_heavy_worker_is_started_with_one_command(
    stack: Stack, marks: Path
) -> None:
    run_id = stack.trigger("queues", marks=marks)
    until("the heavy task's message waits in Valkey", lambda: stack.broker.llen("heavy") == 1)
    until(
        "the default task is done",
        lambda: any(m.worker == "worker-0" and m.event == "end" for m in read_marks(marks)),
    )
    problems = stack.status()["problems"]
    assert any(p["part"] == "heavy" and "worker-heavy" in p["do"] for p in problems)
    stack.command("process-compose", "process", "start", "worker-heavy", check=True)
    try:
        assert stack.finished("queues", run_id) == "success"
        report = stack.returned("queues", run_id, "report")
        assert "worker-heavy" in str(report) and "worker-0" in str(report)
    finally:
        stack.command("process-compose", "process", "stop", "worker-heavy", check=True)


def test_a_worker_that_serves_two_queues_takes_both(new_stack: NewStack) -> None:
    both = new_stack(WORKER_QUEUES="default,heavy", WORKER_CONCURRENCY="2")
    both.up()
    run_id, state = both.run("queues")
    assert state == "success"
    assert {t.hostname for t in both.tasks("queues", run_id)} == {"worker-0"}
    assert {t.queue for t in both.tasks("queues", run_id)} == {"default", "heavy"}


def test_two_workers_with_two_slots_run_four_tasks_at_once_and_never_five(
    stack: Stack, marks: Path
) -> None:
    stack.scale(2)
    try:
        run_id, state = stack.run("parallel", tasks=8, seconds=3, marks=marks)
    finally:
        stack.scale(1)
    assert state == "success"
    seen = read_marks(marks)
    assert busiest(seen) == 4
    # With all slots busy the rest wait in order: what was queued first starts first.
    queued = {
        t.map_index: str(t.queued_when) for t in stack.tasks("parallel", run_id) if t.map_index >= 0
    }
    starts = [m.map_index for m in sorted(seen, key=lambda m: m.time) if m.event == "start"]
    assert max(queued[i] for i in starts[:4]) <= min(queued[i] for i in starts[4:])
