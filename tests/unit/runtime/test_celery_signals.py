"""The ledger of tasks in hand belongs to the processes that run them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from airflow.providers.common.compat import sdk

from windtunnel.ledger import ledger
from windtunnel.runtime import celery_signals, version_skew
from windtunnel.system import procfs


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ledger.WorkerFiles:
    made = ledger.WorkerFiles(tmp_path / "run", "worker-0")
    made.create()
    monkeypatch.setattr(celery_signals, "_files", made)
    monkeypatch.setattr(celery_signals, "_log_folder", lambda: "/logs")
    return made


class Request:
    id = "a"


def begin() -> None:
    celery_signals.begin(task_id="a", args=[json.dumps({"ti": {"task_id": "t"}})])


def end() -> None:
    celery_signals.end(task_id="a")


def in_another_process(*deeds: Callable[[], None]) -> None:
    """What a second delivery of the same message does in its own pool child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for deed in deeds:
                deed()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_second_delivery_leaves_the_entry_of_the_living_task(files: ledger.WorkerFiles) -> None:
    celery_signals.received(request=Request())
    begin()
    before = files.in_hand()["a"]
    assert before["pid"] == os.getpid()
    celery_signals.received(request=Request())
    in_another_process(begin, end)
    assert files.in_hand()["a"] == before
    files.forget_unclaimed("a")
    assert files.in_hand()["a"] == before, "tidying drops only what nobody runs"
    end()
    assert not files.in_hand()


def test_the_entry_of_a_dead_process_stays_until_its_loss_is_noted(
    files: ledger.WorkerFiles,
) -> None:
    in_another_process(begin)
    dead = files.in_hand()["a"]
    assert not procfs.alive(dead["pid"], dead["start"])
    celery_signals.received(request=Request())
    begin()
    end()
    assert files.in_hand()["a"] == dead


def test_what_was_received_and_never_began_is_forgotten(files: ledger.WorkerFiles) -> None:
    celery_signals.received(request=Request())
    files.forget_unclaimed("a")
    assert not files.in_hand()


def test_a_worker_that_lost_tasks_waits_before_it_serves_and_its_tasks_do_not_wait_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ledger.SERVE_AT, str(time.monotonic() + 0.5))
    start = time.monotonic()
    celery_signals.let_another_go_first()
    assert 0.4 < time.monotonic() - start < 5
    celery_signals.let_another_go_first()
    assert time.monotonic() - start < 5
    assert ledger.SERVE_AT not in os.environ


def test_the_folders_are_found_with_an_airflow_that_has_no_configuration_in_its_sdk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Airflow 3.1 has none. Without them no task would get a ledger entry."""
    monkeypatch.setitem(sys.modules, "airflow.sdk.configuration", None)
    monkeypatch.delitem(vars(sdk), "conf", raising=False)
    assert celery_signals._log_folder() and version_skew._dags_folder()


def test_the_folders_are_found_with_the_providers_that_a_lock_of_airflow_3_1_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their module of the SDK has no `conf`. Neither scheduler nor worker started with them."""
    older = ModuleType("airflow.providers.common.compat.sdk")
    monkeypatch.setitem(sys.modules, older.__name__, older)
    assert celery_signals._log_folder() and version_skew._dags_folder()
