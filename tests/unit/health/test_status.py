"""The advice and the times of `windtunnel status`, from rows as process-compose gives them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from windtunnel.clients.process_compose import Process
from windtunnel.health import judgement
from windtunnel.health.problems import process_problems
from windtunnel.health.status_tables import _moment
from windtunnel.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)


def row(name: str, status: str) -> Process:
    running = status in ("Running", "Terminating")
    return Process(name, status, running, is_ready="-", pid=0, exit_code=0, restarts=0, age=10**12)


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


@pytest.mark.parametrize(("days", "shown"), [(0, "%H:%M:%S"), (3, "%Y-%m-%d %H:%M:%S")])
def test_an_incident_of_another_day_is_shown_with_its_date(days: int, shown: str) -> None:
    moment = time.time() - days * 86400
    assert _moment(moment) == time.strftime(shown, time.localtime(moment))
