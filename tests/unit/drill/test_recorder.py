"""What is recorded while a scenario plays: acts, absences, runs and their tries; also of one that is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.clients.airflow import TaskInstance
from windtunnel.drill.cluster import Checks, LocalStack, Mark
from windtunnel.drill.playing import Interrupted, played
from windtunnel.drill.scenarios.catalogue import Outcome, Scenario
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings, load


class Fake:
    """A stack of one Valkey, with an Airflow that knows one task."""

    slots = 2

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = "up"
        self.made: list[Mark] = []
        self.airflow: Any = SimpleNamespace(task_instances=self._instances, task_tries=self._tries)

    def states(self) -> dict[str, str]:
        return {"valkey": self.state, "worker-0": "up"}

    def component(self, log: str) -> str:
        return log

    def stop(self, service: str) -> None:
        self.state = "away"

    def start(self, service: str) -> None:
        self.state = "up"

    def scale(self, workers: int) -> None:
        pass

    def trigger(self, dag_id: str, conf: object = None) -> str:
        self.made.append(Mark("start", dag_id, "r1", "work", -1, 1, 7, "worker-0", time.time()))
        return "r1"

    def marks(self) -> list[Mark]:
        return self.made

    def _one(self, number: int, state: str) -> TaskInstance:
        return TaskInstance("work", -1, state, number, "", None, None, None, None, None)

    def _instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        return [self._one(2, "success")]

    def _tries(self, dag_id: str, run_id: str, task: TaskInstance) -> list[TaskInstance]:
        return [self._one(1, "failed"), task]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False))


def play(
    fake: Fake, scenario: Callable[[LocalStack, Checks], None], record: bool = True
) -> Outcome:
    made = Scenario("x", "1", "x", scenario)
    return played(made, fake, {}, record)  # type: ignore[arg-type]


def outage(cluster: LocalStack, checks: Checks) -> None:
    cluster.stop("valkey")
    cluster.trigger("retry")
    time.sleep(0.6)
    cluster.start("valkey")
    cluster.scale(1)
    checks.add("it is well", True, "well")


def test_acts_absences_and_tries_are_recorded(fake: Fake) -> None:
    found = play(fake, outage)
    recording = found.recording
    assert recording is not None and found.ok
    # One worker is there: a scaling to one changes nothing.
    assert [act.what for act in recording.acts] == ["stops valkey", "starts valkey"]
    assert [s.state for s in recording.spans if s.component == "valkey"] == ["up", "away", "up"]
    assert list(recording.runs) == [("retry", "r1")]
    tries = [(each.number, each.fate, each.state, each.worker) for each in recording.tries]
    assert tries == [(1, "running", "failed", "worker-0"), (2, "", "success", "")]
    assert recording.ended > recording.began and recording.notes == []


def test_without_a_page_nothing_is_recorded(fake: Fake) -> None:
    assert play(fake, outage, record=False).recording is None


def test_an_interrupted_scenario_keeps_what_it_found(fake: Fake) -> None:
    def interrupted(cluster: LocalStack, checks: Checks) -> None:
        outage(cluster, checks)
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as raised:
        play(fake, interrupted)
    outcome = raised.value.outcome
    assert isinstance(raised.value.cause, KeyboardInterrupt)
    assert (outcome.ok, outcome.words, len(outcome.checks)) == (False, "interrupted", 1)
    assert outcome.recording is not None and len(outcome.recording.acts) == 2


def test_what_cannot_be_had_is_a_note_and_no_fault_of_the_scenario(fake: Fake) -> None:
    def away(*_: object) -> Any:
        raise WindtunnelError("Airflow's API does not answer")

    def broken() -> dict[str, str]:
        raise OSError("too many open files")

    fake.airflow = SimpleNamespace(task_instances=away)
    fake.states = broken  # type: ignore[method-assign]
    found = play(fake, outage)
    assert found.ok and found.recording is not None
    assert found.recording.notes == [
        "a look at the stack failed: OSError: too many open files",
        "retry r1 cannot be had: Airflow's API does not answer",
    ]
