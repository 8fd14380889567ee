"""WINDTUNNEL_PATCHES=none: Airflow as upstream made it, and the promises still hold. One stack for all of it.

The whole acceptance and failure table that way: `WINDTUNNEL_PATCHES=none ./dev pytest tests/stack/test_acceptance.py
tests/faults/test_rows.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack_fixture import NewStack, read_marks, until
from windtunnel.clients.postgres import connect
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.scenarios.catalogue import SCENARIOS, play

#: What row 2 promises of the time that a task takes to start is kept by patches; without them it only starts.
SPEED = ("a task submitted after the restart starts on an idle slot within 5 s",)


@pytest.mark.long
def test_without_patches_a_worker_drains_and_a_killed_broker_loses_nothing(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2", WINDTUNNEL_PATCHES="none")
    stack.up()
    states = {
        outcome["state"]
        for found in stack.status()["patches"].values()
        for outcome in found.values()
    }
    assert states == {"off"}
    connection = connect(stack.settings)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'windtunnel%'")
        assert cursor.fetchone() == (0,)
    connection.close()
    run_id = stack.trigger("steady", seconds=6, marks=marks)
    until("the task has started", lambda: read_marks(marks))
    stack.command("windtunnel", "drain", "worker-0", check=True)
    assert [m.event for m in read_marks(marks) if m.event != "pulse"] == ["start", "end"]
    stack.compose.start("worker")
    assert stack.finished("steady", run_id) == "success"
    stack.command("windtunnel", "wait", "--timeout", "120", check=True)
    # Long enough that four tasks can end beside it although each starts later than with patches.
    outcome = play(
        SCENARIOS["broker-killed"],
        LocalCluster(stack.settings, marks.with_name("more")),
        queued=4,
        long=60,
    )
    broken = [
        f"{check.promised}: {check.seen}"
        for check in outcome.checks
        if not check.ok and check.promised not in SPEED
    ]
    assert broken == []
