"""Verdicts about a Celery worker, with a clock in hand and a real process for Celery's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.ledger import ledger
from windtunnel.system import procfs
from windtunnel.worker import health
from windtunnel.worker.health import HUNG_SECONDS, STALE_SECONDS, START_SECONDS, Health
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record


class Trial:
    """A worker whose pulse, dependencies and time the test decides."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        options = Options.parse(["--name", "worker-5"], {"WINDTUNNEL_STATE": str(tmp_path)})
        self.record = Record(options)
        self.record.files.create()
        self.health = Health(options, self.record)
        self.process = subprocess.Popen(["sleep", "600"])
        self.signals: list[int] = []
        self.celery: Any = SimpleNamespace(pid=self.process.pid, signal=self.signals.append)
        self.up = True
        self.now = 1000.0
        self.beats = 0
        monkeypatch.setattr(health, "answers", lambda port, host="127.0.0.1": self.up)
        self.health.started(self.now)

    def beat(self, **pulse: bool) -> None:
        self.beats += 1
        ledger.write(self.record.files.health, {"connected": True, "consuming": True, **pulse})
        os.utime(self.record.files.health, ns=(self.beats, self.beats))

    def pass_time(
        self, seconds: float, *, step: float = 0.5, beating: bool = False, draining: bool = False
    ) -> bool:
        """Whether a kill was asked for at any look."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            if beating:
                self.beat()
            if self.health.check(self.celery, draining, self.now):
                return True
        return False

    @property
    def state(self) -> str:
        return str(self.record.data["state"])


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    made = Trial(tmp_path, monkeypatch)
    yield made
    made.process.kill()
    made.process.wait()


def test_a_beating_worker_is_healthy(trial: Trial) -> None:
    assert not trial.pass_time(60, beating=True)
    assert trial.state == "healthy"


def test_a_hung_idle_worker_is_reported_and_then_replaced_after_its_stack_was_asked_for(
    trial: Trial,
) -> None:
    trial.pass_time(5, beating=True)
    assert not trial.pass_time(STALE_SECONDS + 1)
    assert trial.state == "unhealthy: hung"
    assert trial.pass_time(HUNG_SECONDS + 3)
    assert trial.signals == [10], "SIGUSR1: Celery writes its stacks"


def test_a_hung_worker_with_tasks_is_reported_and_left_until_they_are_done(trial: Trial) -> None:
    trial.pass_time(5, beating=True)
    me = procfs.read(os.getpid())
    assert me is not None
    ledger.write(trial.record.files.task("a"), {"pid": me.pid, "start": me.start})
    assert not trial.pass_time(3600)
    assert trial.state == "unhealthy: hung"
    trial.record.files.release("a", me.pid, me.start)
    assert trial.pass_time(HUNG_SECONDS)


def test_a_hung_worker_that_has_only_received_a_task_is_replaced(trial: Trial) -> None:
    trial.pass_time(5, beating=True)
    trial.record.files.receive("a", {"received": 1.0})
    assert trial.pass_time(3600)


def test_an_outage_is_no_hang_and_afterwards_there_is_time_to_finish(trial: Trial) -> None:
    trial.pass_time(5, beating=True)
    trial.up = False
    assert not trial.pass_time(600)
    assert trial.state == "unhealthy: waiting for the broker and the database"
    trial.up = True
    assert not trial.pass_time(STALE_SECONDS)
    assert "hung" not in trial.state


def test_a_supervisor_that_was_asleep_itself_has_seen_nothing(trial: Trial) -> None:
    trial.pass_time(5, beating=True)
    assert not trial.pass_time(600, step=100.0)
    assert trial.state == "healthy"


def test_a_start_may_take_minutes_but_not_for_ever(trial: Trial) -> None:
    assert not trial.pass_time(START_SECONDS - 1)
    assert trial.pass_time(START_SECONDS)


def test_a_drain_is_no_hang(trial: Trial) -> None:
    trial.pass_time(5, beating=True)
    assert not trial.pass_time(600, draining=True)


@pytest.mark.parametrize(
    ("pulse", "state"),
    [
        ({"connected": False}, "unhealthy: broker unreachable"),
        ({"consuming": False}, "unhealthy: not consuming"),
    ],
)
def test_what_the_main_loop_says_is_reported(
    trial: Trial, pulse: dict[str, bool], state: str
) -> None:
    trial.beat(**pulse)
    assert not trial.pass_time(1)
    assert trial.state == state
