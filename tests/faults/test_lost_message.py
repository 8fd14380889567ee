"""A message that vanishes from the broker while no worker runs: its task is queued again and runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack_fixture import Stack, read_marks, until
from windtunnel.ledger import ledger


@pytest.mark.long
def test_a_task_whose_message_is_gone_is_queued_again_and_runs_once(
    faults_stack: Stack, marks: Path
) -> None:
    stack = faults_stack
    stack.command("process-compose", "process", "stop", stack.compose.workers()[0].name, check=True)
    try:
        run_id = stack.trigger("steady", seconds=1, marks=marks)
        until("the message waits", lambda: stack.broker.llen("default") == 1, 60)
        (before,) = (t for t in stack.tasks("steady", run_id) if t.state == "queued")
        assert stack.broker.lpop("default") is not None
        assert stack.broker.llen("default") == 0
        until("it is queued again", lambda: stack.broker.llen("default") == 1, 180)
        assert read_marks(marks) == []
    finally:
        stack.command(
            "process-compose", "process", "start", stack.compose.workers()[0].name, check=True
        )
    assert stack.finished("steady", run_id) == "success"
    (after,) = (t for t in stack.tasks("steady", run_id) if t.task_id == before.task_id)
    assert after.try_number == 1, "a lost message is no attempt"
    assert [m.event for m in read_marks(marks) if m.event != "pulse"] == ["start", "end"]
    assert ledger.read(stack.settings.run / "reconciler" / "state.json")["lost_messages"] >= 1
