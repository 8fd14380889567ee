"""One test a patch: that the fault is still there (else remove the patch), that ours applies, and that it steps back when it must."""

from __future__ import annotations

import inspect
import os
import selectors
import signal
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from windtunnel.patches import catalogue
from windtunnel.patches.base import Unfit
from windtunnel.services.database_notify import Listener
from windtunnel.system import procfs


def test_upstream_still_does_not_watch_the_process_itself() -> None:
    from airflow.sdk.execution_time import supervisor

    assert "pidfd" not in inspect.getsource(supervisor), (
        "the SDK watches the process now: remove free_slot_at_once"
    )


def test_upstream_still_forgets_busy_processes() -> None:
    from celery.concurrency.asynpool import AsynPool

    text = inspect.getsource(AsynPool.flush)
    assert "_busy_workers.clear()" in text, "celery#10346 is in: remove ResilientConsumer.on_close"


def test_upstream_still_keeps_a_closed_channel() -> None:
    from kombu.transport import redis

    text = inspect.getsource(redis.Transport.register_with_event_loop)
    assert "loop.on_tick.add(on_poll_start)" in text, (
        "kombu changed: look again at on_connection_error_after_connected"
    )
    assert (
        redis.Transport.register_with_event_loop.__qualname__ + ".<locals>.on_poll_start"
        == "Transport." + ("register_with_event_loop.<locals>.on_poll_start")
    )


def test_upstream_still_sleeps_by_the_name_time() -> None:
    from airflow.jobs import scheduler_job_runner

    text = inspect.getsource(scheduler_job_runner.SchedulerJobRunner._run_scheduler_loop)
    assert "time.sleep(" in text, (
        "the scheduler's loop sleeps in another way: wake_scheduler has no effect"
    )
    assert scheduler_job_runner.__dict__["time"] is time


def test_upstream_still_leaves_a_health_server_behind() -> None:
    from airflow.cli.commands import scheduler_command
    from airflow.utils import scheduler_health

    text = inspect.getsource(scheduler_command._serve_health_check) + inspect.getsource(
        scheduler_health
    )
    assert "Process(target=serve_health_check)" in text, (
        "the health server is no forked process now: look again at component.forks_end_with_me"
    )
    assert "prctl" not in text.lower() and "pdeathsig" not in text.lower(), (
        "it ends with the scheduler now: remove component.forks_end_with_me"
    )


def test_what_a_patched_scheduler_forked_ends_with_it() -> None:
    program = """
import multiprocessing, os, signal, sys, time
from windtunnel.runtime import component
from windtunnel.system import procfs
if sys.argv[1] == "patched":
    component.forks_end_with_me()
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
child.start()
print(child.pid, flush=True)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""
    for mode, outlives in (("patched", False), ("stock", True)):
        process = subprocess.Popen(
            [sys.executable, "-c", program, mode], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait(timeout=10)
        time.sleep(0.5)
        alive = procfs.read(child)
        assert (alive is not None and alive.state != "Z") is outlives, mode
        if outlives:
            os.kill(child, signal.SIGKILL)


def test_a_pidfd_wakes_the_selector_at_once_and_is_closed() -> None:
    process = subprocess.Popen(["sleep", "0.3"])
    selector = selectors.DefaultSelector()
    watched = catalogue.PidFd(process.pid)
    number = watched.fileno()
    selector.register(watched, selectors.EVENT_READ)
    start = time.monotonic()
    assert selector.select(timeout=5)
    assert 0.1 < time.monotonic() - start < 2
    assert process.wait(timeout=0.5) == 0
    selector.close()
    del watched
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_the_slot_patch_applies_once_and_registers_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    seen: list[Any] = []

    def register(
        self: Any, stdout: Any, stderr: Any, requests: Any, logs: Any, *, data: Any
    ) -> None:
        seen.append(stdout)

    monkeypatch.setattr(WatchedSubprocess, "_register_pipe_readers", register)
    assert catalogue.free_slot_at_once()
    patched = WatchedSubprocess._register_pipe_readers
    assert patched is not register
    assert catalogue.free_slot_at_once()
    assert WatchedSubprocess._register_pipe_readers is patched, "the second time changes nothing"
    process = subprocess.Popen(["sleep", "0.1"])
    stand_in = SimpleNamespace(pid=process.pid, selector=selectors.DefaultSelector())
    patched(stand_in, 1, 2, 3, 4, data={})
    assert seen == [1]
    ((key, _),) = stand_in.selector.select(timeout=5)
    handler, on_close = key.data
    assert handler(key.fileobj) is False, "as _service_subprocess asks: nothing more to read"
    on_close(key.fileobj)
    assert not stand_in.selector.get_map()
    process.wait()


def test_the_slot_patch_steps_back_from_an_unknown_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    monkeypatch.setattr(WatchedSubprocess, "_register_pipe_readers", lambda other: None)
    assert not catalogue.free_slot_at_once()


def test_the_wake_patch_steps_back_where_there_is_no_scheduler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "airflow.jobs.scheduler_job_runner", raising=False)
    assert not catalogue.wake_scheduler()
    strange = ModuleType("airflow.jobs.scheduler_job_runner")
    strange.time = SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.jobs.scheduler_job_runner", strange)
    assert not catalogue.wake_scheduler()


def test_without_a_database_a_wait_is_a_plain_sleep() -> None:
    listener = Listener("postgresql+psycopg2://airflow:secret@127.0.0.1:1/airflow")
    for _ in range(2):
        start = time.monotonic()
        listener.wait(0.2)
        assert 0.19 < time.monotonic() - start < 1.0


def test_the_loop_patch_leaves_rounds_without_news_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    from windtunnel.patches import scheduler
    from windtunnel.patches.scheduler_rounds import Rounds

    done: list[str] = []
    slots = 5

    def _schedule_all_dag_runs(self: Any, guard: Any, dag_runs: Any, session: Any) -> list[Any]:
        return []

    def _do_scheduling(self: Any, session: Any) -> int:
        self._schedule_all_dag_runs(None, ["a run"], session)
        done.append("looked")
        return 2

    monkeypatch.setattr(SchedulerJobRunner, "_schedule_all_dag_runs", _schedule_all_dag_runs)
    monkeypatch.setattr(SchedulerJobRunner, "_do_scheduling", _do_scheduling)
    listener = SimpleNamespace(notified=lambda: False, acknowledge=lambda: None)
    rounds = Rounds(listener, 60.0, lambda: 0.0)  # type: ignore[arg-type]
    examine, schedule = scheduler._without_idle_rounds(SchedulerJobRunner, rounds)
    monkeypatch.setattr(SchedulerJobRunner, "_schedule_all_dag_runs", examine)
    monkeypatch.setattr(SchedulerJobRunner, "_do_scheduling", schedule)
    runner = SchedulerJobRunner.__new__(SchedulerJobRunner)
    runner.executors = [SimpleNamespace(slots_available=slots)]
    runner.log_cache = None
    assert (runner._do_scheduling(None), runner._do_scheduling(None)) == (2, 0)
    assert done == ["looked"]
    # No slot is left, and the database sends no notification for it: it looks as soon as there are some again.
    executor = SimpleNamespace(slots_available=2)
    runner.executors = [executor]
    listener.notified = lambda: True
    runner._do_scheduling(None)
    listener.notified = lambda: False
    executor.slots_available = 0
    assert runner._do_scheduling(None) == 0
    executor.slots_available = 20
    assert runner._do_scheduling(None) == 2


def test_the_loop_patch_steps_back_from_another_scheduler() -> None:
    from windtunnel.patches import scheduler

    for stranger in (
        None,
        SimpleNamespace(_do_scheduling=lambda self: 0, _schedule_all_dag_runs=lambda self: []),
    ):
        with pytest.raises(Unfit):
            scheduler._without_idle_rounds(stranger, None)  # type: ignore[arg-type]


def test_upstream_still_looks_again_after_every_round_that_did_anything() -> None:
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    text = inspect.getsource(SchedulerJobRunner._run_scheduler_loop)
    assert "num_queued_tis = self._do_scheduling(session)" in text
    assert "idle_in_this_run = not num_queued_tis and not num_finished_events" in text


def test_upstream_still_connects_anew_for_each_look_at_the_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from celery.backends.database.session import SessionManager

    # Kept: what the patch replaces comes back after the test.
    monkeypatch.setattr(SessionManager, "__init__", SessionManager.__init__)
    url = "sqlite://"
    assert SessionManager().get_engine(url) is not SessionManager().get_engine(url)
    plain = SessionManager()
    assert plain.get_engine(url) is not plain.get_engine(url), (
        "Celery keeps its engine now: remove keep_result_connection"
    )
    assert catalogue.keep_result_connection()
    patched = SessionManager()
    assert patched.get_engine(url) is patched.get_engine(url)
    assert not catalogue.keep_result_connection(), (
        "a manager that thinks it is forked is not touched again"
    )


def test_the_start_of_a_task_counts_as_its_first_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.supervisor import ActivitySubprocess

    text = inspect.getsource(ActivitySubprocess._on_child_started)
    assert "_last_heartbeat_attempt" not in text, (
        "the SDK does so itself: remove first_heartbeat_later"
    )

    def started(self: Any, **_: Any) -> None:
        self._last_successful_heartbeat = 42.0

    monkeypatch.setattr(ActivitySubprocess, "_on_child_started", started)
    assert catalogue.first_heartbeat_later()
    assert catalogue.first_heartbeat_later()
    stand_in = SimpleNamespace(_last_heartbeat_attempt=0.0)
    ActivitySubprocess._on_child_started(stand_in, ti=None)
    assert stand_in._last_heartbeat_attempt == 42.0
    monkeypatch.setattr(ActivitySubprocess, "_on_child_started", lambda other: None)
    assert not catalogue.first_heartbeat_later()


def test_decoders_are_made_once_for_all_tasks_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import comms, task_runner
    from pydantic import TypeAdapter

    assert "TypeAdapter(ToTask)" in inspect.getsource(comms.CommsDecoder), (
        "the SDK changed: look again at decoders_made_once"
    )
    for module in (comms, task_runner):
        monkeypatch.setattr(module, "TypeAdapter", TypeAdapter)
    stock = comms.CommsDecoder(log=None, socket=None)
    assert stock.body_decoder is not stock.err_decoder, (
        "the SDK keeps its decoders now: remove decoders_made_once"
    )
    assert catalogue.decoders_made_once()
    one, other = (comms.CommsDecoder(log=None, socket=None) for _ in range(2))
    assert one.body_decoder is other.body_decoder is one.err_decoder
    message = {"type": "ErrorResponse", "error": "GENERIC_ERROR", "detail": None}
    assert one.body_decoder.validate_python(message) == stock.body_decoder.validate_python(message)
    assert not catalogue.decoders_made_once(), (
        "a module that does not use pydantic's own is left alone"
    )


def _operators_of_a_dag() -> dict[str, Any]:
    """What a DAG that uses defaults, parameters, groups and late assignments looks like."""
    from datetime import timedelta

    from airflow.sdk import DAG, BaseOperator, Param, TaskGroup, task

    class Sized(BaseOperator):  # type: ignore[misc]
        template_fields = ("size",)

        def __init__(self, *, size: Any = 1, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.size = size

    with DAG(
        "d",
        schedule=None,
        default_args={"retries": 3, "size": 7},
        params={"p": Param(1, type="integer")},
    ) as dag:
        first = Sized(task_id="first", retry_delay=30)
        with TaskGroup("g", default_args={"retries": 5}):
            Sized(task_id="second", size=first.output, params={"q": 2})

        @task
        def third(value: int) -> int:
            return value

        last = third(2)
        late = Sized(task_id="late")
        late.size = last
    with DAG("bare", schedule=None):
        plain = Sized(task_id="plain")
        first.retry_delay = 60
    assert first.retry_delay == timedelta(seconds=60), "a converter of the class"
    operators = {**dag.task_dict, "plain": plain}
    return {
        name: {
            **{
                key: repr(getattr(op, key))
                for key in ("retries", "size", "retry_delay", "upstream_task_ids")
                if hasattr(op, key)
            },
            "params": op.params.dump(),
            "sources": {key: op.params.get_param(key).source for key in op.params},
            "init": sorted(op._BaseOperator__init_kwargs),
        }
        for name, op in operators.items()
    }


def test_operators_that_cost_less_are_the_same_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.bases import operator

    stock = _operators_of_a_dag()
    assert stock["g.second"]["upstream_task_ids"] == "{'first'}"
    for holder, name in (
        (operator.BaseOperator, "__setattr__"),
        (operator, "_get_parent_defaults"),
    ):
        monkeypatch.setattr(holder, name, getattr(holder, name))  # put back after the test
    assert catalogue.operators_cost_less()
    assert catalogue.operators_cost_less()
    assert operator.BaseOperator.__setattr__.__module__ == "windtunnel.patches.operators"
    assert _operators_of_a_dag() == stock
    monkeypatch.setattr(operator, "_get_parent_defaults", lambda dag, group: None)
    monkeypatch.setattr(operator.BaseOperator, "__setattr__", lambda self, key, value: None)
    assert not catalogue.operators_cost_less(), "another text than the one it was made from"
