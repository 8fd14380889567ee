"""The advice and the times of `windtunnel status`, from rows as process-compose gives them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from windtunnel.clients.process_compose import Process
from windtunnel.errors import WindtunnelError
from windtunnel.health import judgement, restarts, wait
from windtunnel.health.problems import process_problems, queue_problems
from windtunnel.health.rows import process_rows, worker_rows
from windtunnel.health.status_tables import _moment
from windtunnel.ledger import ledger
from windtunnel.settings import Settings, load
from windtunnel.system import procfs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)


def row(name: str, status: str, restarts: int = 0, age: int = 10**12) -> Process:
    # process-compose calls a process that ends not running (process.go, isRunning).
    running = status == "Running"
    return Process(name, status, running, "-", pid=0, exit_code=0, restarts=restarts, age=age)


def advice(settings: Settings, *rows: Process) -> dict[str, str]:
    faults = judgement.judge(settings, rows, {})
    problems = process_problems(settings, list(rows), faults)
    return {problem.part: problem.do for problem in problems}


def test_a_process_that_is_down_is_to_be_started(settings: Settings) -> None:
    assert (
        advice(settings, row("scheduler", "Completed"))["scheduler"]
        == "process-compose process start scheduler"
    )


def test_nothing_is_to_be_started_at_once_while_the_stack_is_being_stopped(
    settings: Settings,
) -> None:
    stopping = advice(settings, row("scheduler", "Completed"), row("worker", "Terminating"))
    assert stopping["scheduler"].startswith("a command is stopping processes")
    assert stopping["worker"] == "process-compose stops it; nothing to do"


@pytest.mark.parametrize(
    ("faulty", "part", "do"),
    [
        (["postgres", "scheduler"], "scheduler", "it recovers by itself when postgres is back"),
        (["postgres", "scheduler"], "postgres", "process-compose process restart postgres"),
        (["scheduler"], "scheduler", "process-compose process restart scheduler"),
        (["worker"], "worker", "its supervisor repairs it by itself"),
    ],
)
def test_what_runs_and_is_not_well_is_restarted_only_where_nothing_else_repairs_it(
    settings: Settings, faulty: list[str], part: str, do: str
) -> None:
    rows = [row(name, "Running") for name in ("postgres", "valkey", "scheduler", "worker")]
    faults = {each.name: "does not answer" if each.name in faulty else None for each in rows}
    problems = {each.part: each.do for each in process_problems(settings, rows, faults)}
    assert sorted(problems) == sorted(faulty)
    assert problems[part].startswith(do)


@pytest.fixture
def draining(settings: Settings) -> str:
    """worker-0 drains with two tasks in hand. Returns the time at which they are cut off."""
    files = ledger.WorkerFiles(settings.run, "worker-0")
    files.create()
    me = procfs.read(os.getpid())
    assert me is not None
    since = time.time() - 60
    record = {"pid": me.pid, "start": me.start, "boot": procfs.boot_id(), "queues": ["default"]}
    ledger.write(files.supervisor, {**record, "state": "draining", "since": since})
    for task in ("a", "b"):
        ledger.write(files.task(task), {"pid": me.pid, "start": me.start})
    return time.strftime("%H:%M:%S", time.localtime(since + settings.worker_drain_seconds))


def test_a_worker_that_drains_is_named_with_its_tasks_and_its_end_and_is_no_problem(
    settings: Settings, draining: str
) -> None:
    rows = [row("worker", "Terminating"), row("flower", "Running")]
    assert advice(settings, *rows) == {}
    [worker] = worker_rows(settings, process_rows(rows, judgement.judge(settings, rows, {})))
    assert worker.state == f"draining, 2 tasks in hand, until {draining}"
    assert (worker.process, worker.load) == ("worker", 2)


def test_a_surplus_worker_that_process_compose_no_longer_lists_is_shown_while_it_drains(
    settings: Settings, draining: str
) -> None:
    [worker] = worker_rows(settings, [])
    assert (worker.node, worker.process) == ("worker-0", "")
    assert worker.state == f"draining, 2 tasks in hand, until {draining}"


@pytest.mark.usefixtures("draining")
def test_nothing_is_to_be_started_for_a_queue_whose_worker_drains(settings: Settings) -> None:
    [problem] = queue_problems({"default": 3}, worker_rows(settings, []))
    assert problem.what == "3 tasks wait in the queue 'default' and no healthy worker serves it"
    assert problem.do == "wait until worker-0 has drained, then start a worker"


@pytest.mark.usefixtures("draining")
def test_wait_goes_on_waiting_for_a_worker_that_drains(settings: Settings) -> None:
    [fault] = judgement.judge(settings, [row("worker", "Terminating")], {}).values()
    assert fault and fault.startswith("draining, 2 tasks in hand")


def test_a_process_that_is_being_stopped_says_so(settings: Settings) -> None:
    [fault] = judgement.judge(settings, [row("flower", "Terminating")], {}).values()
    assert fault == "stopping"


@pytest.mark.parametrize(("days", "shown"), [(0, "%H:%M:%S"), (3, "%Y-%m-%d %H:%M:%S")])
def test_an_incident_of_another_day_is_shown_with_its_date(days: int, shown: str) -> None:
    moment = time.time() - days * 86400
    assert _moment(moment) == time.strftime(shown, time.localtime(moment))


def fault(settings: Settings, row: Process, service: str | None = None) -> str:
    """What `status` says of one process; empty where it says nothing."""
    rows = [row]
    faults = judgement.judge(settings, rows, {row.name: service})
    return "".join(problem.what for problem in process_problems(settings, rows, faults))


def test_a_process_that_restarts_again_and_again_is_named_with_the_end_of_its_log(
    settings: Settings,
) -> None:
    settings.logs.mkdir()
    log = settings.logs / "scheduler.log"
    log.write_text("x" * 9000 + "\nfirst\n\x1b[31mcannot open\x1b[0m the file\n\n")
    ended = fault(settings, row("scheduler", "Restarting", restarts=7))
    expected = "restarts again and again: 7 times so far, scheduler.log ends with"
    assert ended == f"not running (restarting), and {expected} 'cannot open the file'"
    second = 10**9
    begun = row("scheduler", "Running", restarts=7, age=2 * second)
    assert fault(settings, begun, "does not answer").startswith(f"does not answer, and {expected}")
    assert fault(settings, begun) == "", "it has come up"
    long_ago = row("scheduler", "Running", restarts=7, age=3600 * second)
    assert fault(settings, long_ago, "does not answer") == "does not answer"
    once = row("scheduler", "Restarting", restarts=2)
    assert fault(settings, once) == "not running (restarting)"
    log.unlink()
    assert fault(settings, row("scheduler", "Restarting", restarts=3)).endswith("ends with ''")


def test_a_celery_that_its_supervisor_starts_again_and_again_is_named(settings: Settings) -> None:
    files = ledger.WorkerFiles(settings.run, "worker-0")
    files.supervisor.parent.mkdir(parents=True)
    settings.logs.mkdir()
    (settings.logs / "worker-0.log").write_text("ModuleNotFoundError: No module named 'x'\n")
    for ago, again in ((5.0, True), (3600.0, False)):
        incident = {"text": "celery ended", "time": time.time() - ago}
        record = {"state": "starting", "restarts": 4, "last_incident": incident}
        ledger.write(files.supervisor, record)
        said = fault(settings, row("worker", "Running"))
        assert said.startswith("starting")
        assert ("4 times so far, worker-0.log ends with" in said) is again


def test_wait_tells_at_leisure_what_restarts_all_the_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    count = iter(range(1000))
    monkeypatch.setattr("windtunnel.health.wait.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("windtunnel.health.wait.time.sleep", lambda _: None)
    monkeypatch.setattr("windtunnel.health.wait.process_compose.require", lambda _: None)
    text = f"scheduler: not running{restarts.AGAIN}: {{}} times so far"
    monkeypatch.setattr(wait, "pending", lambda *_: [text.format(next(count))])
    said: list[str] = []
    with pytest.raises(WindtunnelError, match="restarts again and again: 59 times"):
        wait.wait(settings, 59.0, said.append)
    assert len(said) == 4, said
