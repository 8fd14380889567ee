"""The database wakes the scheduler: on a live stack whose scheduler would look by itself only once in five minutes."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

import pytest

from tests.servers import connected
from tests.stack_fixture import Stack, until
from windtunnel.services import database_notify, notify_triggers
from windtunnel.stack.ports import free_offset


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What is quick here was told, not found: a chain of five tasks needs ten looks."""
    made = Stack(
        tmp_path_factory.mktemp("notify") / "state",
        free_offset(),
        WORKER_CONCURRENCY="2",
        AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME="300",
    )
    try:
        made.up()
        yield made
    finally:
        made.destroy()


def chain_is_quick(stack: Stack) -> None:
    start = time.monotonic()
    _, state = stack.run("chain", timeout=120, seconds=0)
    assert state == "success"
    assert time.monotonic() - start < 120


def test_it_is_the_event_that_wakes_the_scheduler(patient: Stack) -> None:
    with connected(patient.settings) as cursor:
        cursor.execute(f"LISTEN {database_notify.CHANNEL}")
        run_id = patient.trigger("chain", seconds=0)
        assert select.select([cursor.connection], [], [], 10)[0], (
            "no notification of a new run in 10 s"
        )
        assert patient.finished("chain", run_id) == "success"
        cursor.connection.poll()
        heard = len(cursor.connection.notifies)
        assert heard >= 6, "the run, and the end of each task that another one waits for"
    chain_is_quick(patient)


def test_triggers_that_are_lost_under_a_running_scheduler_are_made_anew(patient: Stack) -> None:
    """What `airflow db reset` beside a running stack leaves, or a dump that somebody restores."""
    with connected(patient.settings) as cursor:
        cursor.connection.autocommit = False
        notify_triggers.drop(cursor.connection)
        cursor.connection.autocommit = True

        def there() -> bool:
            cursor.execute(notify_triggers.missing_query(same_version=False))
            return not cursor.fetchall()

        assert not there()
        until("the triggers are there again", there, database_notify.CHECK_SECONDS + 30)
    chain_is_quick(patient)
    logs = "".join(path.read_text(errors="replace") for path in patient.settings.logs.glob("*.log"))
    assert "triggers were missing and were created again" in logs
