"""The API server away, refusing, or giving out short-lived tokens, while tasks run; and what else the reconciler brings back."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.stack_fixture import NewStack, Stack, read_marks, until
from windtunnel.clients.postgres import libpq_url
from windtunnel.stack.ports import free_offset

DAGS = Path(__file__).parent / "dags"
#: The reconciler's patience with a silent task in these tests.
SILENT_SECONDS = 30


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a callback writes down its beginnings and ends."""
    return tmp_path_factory.mktemp("calls") / "calls"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, calls: Path, root: Path) -> Iterator[Stack]:
    """A stack whose reconciler counts to 30 s instead of 420."""
    folder = tmp_path_factory.mktemp("impatient")
    dags = Path(
        shutil.copytree(DAGS, folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    )
    shutil.copy(root / "dags" / "steady.py", dags)
    made = Stack(
        state=folder / "state",
        offset=free_offset(),
        WORKER_CONCURRENCY="4",
        DAGS_FOLDER=str(dags),
        WINDTUNNEL_SILENT_TASK_SECONDS=str(SILENT_SECONDS),
        WINDTUNNEL_TEST_CALLS=str(calls),
    )
    try:
        made.up()
        yield made
    finally:
        made.destroy()


def sql(stack: Stack, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg2.connect(libpq_url(stack.settings))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall()) if cursor.description else []


def api_server(stack: Stack, verb: str) -> None:
    stack.command("process-compose", "process", verb, "api-server", check=True)


def ran_once(path: Path) -> bool:
    """One beginning and one end, by one process, in the first try."""
    marks = [mark for mark in read_marks(path) if mark.event != "pulse"]
    return [(m.event, m.attempt) for m in marks] == [("start", 1), ("end", 1)] and len(
        {m.pid for m in marks}
    ) == 1


def through_an_absence(stack: Stack, tmp_path: Path, seconds: float) -> None:
    """One task ends while the API server is away, one after it has come back."""
    files = [tmp_path / "within", tmp_path / "beyond"]
    runs = [
        stack.trigger("steady", seconds=seconds / 2, marks=files[0]),
        stack.trigger("steady", seconds=seconds * 1.5, marks=files[1]),
    ]
    for file in files:
        until("the task runs", lambda file=file: read_marks(file))  # type: ignore[misc]
    api_server(stack, "stop")
    time.sleep(seconds)  # the absence itself
    api_server(stack, "start")
    for run, file in zip(runs, files, strict=True):
        assert stack.finished("steady", run, seconds + 120) == "success"
        assert [task.try_number for task in stack.tasks("steady", run)] == [1]
        assert ran_once(file)


def test_tasks_outlive_an_absence_of_the_api_server_longer_than_the_limit_on_silence(
    impatient: Stack, tmp_path: Path
) -> None:
    through_an_absence(impatient, tmp_path, SILENT_SECONDS + 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_tasks_outlive_eight_minutes_without_an_api_server(
    new_stack: NewStack, tmp_path: Path
) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2")
    stack.up()
    through_an_absence(stack, tmp_path, 480)


def test_what_the_api_server_refuses_fails_the_task_within_a_minute_and_its_log_says_why(
    impatient: Stack,
) -> None:
    # A permanent 500, from a database that is well: as of an XCom above PostgreSQL's limit of 256 MB.
    sql(
        impatient,
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '54000'; END $$ LANGUAGE plpgsql;"
        "CREATE TRIGGER refuse BEFORE INSERT ON xcom FOR EACH ROW WHEN (NEW.dag_id = 'refused' AND NEW.value::text ~ 'plain')"
        " EXECUTE FUNCTION refuse()",
    )
    runs = {
        status: impatient.trigger("refused", value=value)
        for status, value in ((422, "null"), (500, "plain"))
    }
    for status, run in runs.items():
        assert impatient.finished("refused", run, 120) == "failed"
        (task,) = impatient.tasks("refused", run)
        (seconds,) = sql(
            impatient,
            "SELECT extract(epoch FROM end_date - start_date) FROM task_instance WHERE dag_id = 'refused' AND run_id = %s",
            run,
        )
        assert seconds[0] < 60, "within a minute, and not by the time-out of heartbeats"
        log = (
            impatient.settings.logs
            / "tasks"
            / "dag_id=refused"
            / f"run_id={run}"
            / f"task_id={task.task_id}"
            / "attempt=1.log"
        )
        assert f"'status_code': {status}" in log.read_text()


def test_a_task_whose_host_vanished_fails_after_the_limit_on_silence(impatient: Stack) -> None:
    runs = [impatient.run("steady", seconds=0)[0] for _ in range(2)]
    # As a worker leaves it that was switched off: running, in nobody's ledger; one that wrote no heartbeat at all.
    for run, beat in zip(runs, ("now", None), strict=True):
        sql(
            impatient,
            "UPDATE task_instance SET state = 'running', end_date = NULL, last_heartbeat_at = %s WHERE run_id = %s",
            beat,
            run,
        )
        sql(
            impatient,
            "UPDATE dag_run SET state = 'running', end_date = NULL WHERE run_id = %s",
            run,
        )
    began = time.monotonic()
    for run in runs:
        assert impatient.finished("steady", run, SILENT_SECONDS + 90) == "failed"
    assert time.monotonic() - began > SILENT_SECONDS - 10, "not before the limit"
    assert len(impatient.events("task_silent")) == 2


def test_a_callback_whose_worker_was_killed_runs_again_and_frees_its_slot(
    impatient: Stack, calls: Path
) -> None:
    impatient.trigger("late")
    until("the callback runs", calls.exists, 90)
    os.kill(int(impatient.supervisor("worker-0")["celery_pid"]), signal.SIGKILL)
    until(
        "it ran again, to its end",
        lambda: calls.read_text().split() == ["begin", "begin", "end"],
        90,
    )
    # Airflow writes this when the executor gives the result back, and the slot with it.
    until(
        "its row says so",
        lambda: (
            sql(impatient, "SELECT state FROM callback WHERE type = 'executor'") == [("success",)]
        ),
        60,
    )


def outlive_tokens(stack: Stack, marks: Path, seconds: float) -> None:
    run, state = stack.run("steady", timeout=seconds + 180, seconds=seconds, marks=marks)
    assert state == "success"
    assert [task.try_number for task in stack.tasks("steady", run)] == [1]
    assert ran_once(marks)


@pytest.mark.timeout(600)
def test_a_task_outlives_five_lives_of_its_token(new_stack: NewStack, marks: Path) -> None:
    # Without the tolerance for clocks, which would keep an old token good for another day.
    tokens = {
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "10",
        "AIRFLOW__API_AUTH__JWT_LEEWAY": "0",
    }
    stack = new_stack(WORKER_CONCURRENCY="2", **tokens)
    stack.up()
    outlive_tokens(stack, marks, 52)


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_a_task_of_65_minutes_ends_in_success_in_its_first_try(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2")
    stack.up()
    outlive_tokens(stack, marks, 65 * 60)
