"""Rows 6 and 8: a stack that is taken down with tasks waiting, or in hand, runs them after the next `up`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.stack_fixture import NewStack, read_marks, until
from windtunnel.stack import leftovers


def test_tasks_that_waited_at_down_run_after_the_next_up_each_once(
    new_stack: NewStack, marks: Path
) -> None:
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


def test_down_says_for_which_task_it_waits_and_now_cuts_off_what_is_retried_after_the_next_up(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack()
    stack.up()
    run_id = stack.trigger("retry", failures=0, seconds=3600, marks=marks)
    until("the task runs", lambda: read_marks(marks))
    task = f"retry.work (run {run_id}, try 1) on worker-0"

    # As in a terminal, where Ctrl-C reaches every process of the foreground.
    waiting = subprocess.Popen(
        ["windtunnel", "down"],
        env=stack.environment,
        cwd=stack.root,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert waiting.stderr is not None
    said = waiting.stderr.readline()
    assert (
        task in said
        and "running for" in said
        and "waiting until" in said
        and "WORKER_DRAIN_SECONDS=600" in said
    ), said
    until("the worker drains", lambda: stack.supervisor("worker-0").get("state") == "draining")
    os.killpg(waiting.pid, signal.SIGINT)
    _, rest = waiting.communicate(timeout=20)
    assert (
        waiting.returncode == 130
        and "the stack continues to stop" in rest
        and "Traceback" not in rest
    ), rest
    assert stack.supervisor("worker-0")["state"] == "draining"

    done = stack.command("windtunnel", "down", "--now", timeout=90)
    assert done.returncode == 0, done
    warning, *_, told = (line for line in done.stderr.splitlines() if "stopping for" not in line)
    assert warning.startswith("windtunnel: cutting off at once:") and task in warning
    assert told.startswith("windtunnel: cut off:") and task in told
    cut = len(read_marks(marks))

    stack.up()
    until("the retry runs", lambda: [m for m in read_marks(marks)[cut:] if m.attempt == 2], 90)
    assert not [m for m in read_marks(marks)[cut:] if m.attempt == 1]
    assert "lost this task" in stack.airflow.log("retry", run_id, "work")
    assert stack.command("process-compose", "down", "--now", timeout=90).returncode == 0
    assert leftovers.find(stack.settings) == []
