"""Scenarios on Airflow's own settings without a stack: their parameters, names, and what they mean for the exit code."""

from __future__ import annotations

import inspect
import io
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from rich.console import Console

from windtunnel import dag_helpers
from windtunnel.bench.stock_stack import FILE
from windtunnel.drill import rehearse, report
from windtunnel.drill.cluster import Check
from windtunnel.drill.report import Rehearsal
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome
from windtunnel.stock import cluster, meaning
from windtunnel.stock.rehearse import Beside


def outcome(name: str, ok: bool = True, **more: Any) -> Outcome:
    return Outcome(SCENARIOS[name], [Check("a promise", "what was seen", ok)], 1.0, **more)


@pytest.mark.parametrize("name", sorted({*meaning.OPTIONS, *meaning.NOTHING}))
def test_what_is_said_of_a_scenario_fits_it(name: str) -> None:
    assert not (name in meaning.OPTIONS and name in meaning.NOTHING)
    options = meaning.OPTIONS.get(name, {})
    assert set(options) <= set(inspect.signature(SCENARIOS[name].play).parameters)


def test_each_process_of_the_stock_stack_has_the_name_that_scenarios_use() -> None:
    processes = yaml.safe_load(FILE.read_text())["processes"]
    names = {cluster.ours(name) for name in processes}
    assert names - {"airflow-init", "worker-0"} == set(cluster.NAMES)
    assert [cluster.ours(f"airflow-worker-{n}") for n in ("0", "1", "07")] == [
        "worker-0",
        "worker-1",
        "worker-7",
    ]


def test_a_scenario_without_meaning_there_starts_nothing_and_says_why() -> None:
    beside = Beside.__new__(Beside)
    found = beside(SCENARIOS["supervisor-killed"], Console(file=io.StringIO()), True)
    assert (found.skipped, found.ok) == ("its workers have no supervisor", True)


def test_a_task_of_a_stock_worker_names_it_by_the_number_of_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WINDTUNNEL_WORKER", raising=False)
    monkeypatch.setenv("PC_REPLICA_NUM", "1")
    monkeypatch.setenv("PC_PROC_NAME", "airflow-worker-1")
    assert dag_helpers.worker() == "worker-1"
    monkeypatch.setenv("WINDTUNNEL_WORKER", "worker-lab")
    assert dag_helpers.worker() == "worker-lab"


def test_what_stock_breaks_is_shown_and_does_not_count() -> None:
    kept = Rehearsal(outcome("broker-away"), outcome("broker-away", ok=False))
    broken = Rehearsal(outcome("broker-away", ok=False), outcome("broker-away"))
    assert (rehearse.code([kept]), rehearse.code([broken])) == (0, 1)
    data = report.as_json([kept], "3.2.2")
    [row] = data["scenarios"]
    assert (data["airflow"], data["ok"], row["ok"], row["stock"]["ok"]) == (
        "3.2.2",
        True,
        True,
        False,
    )
    alone = report.as_json([Rehearsal(outcome("broker-away"))], "3.2.2")
    assert "stock" not in alone["scenarios"][0]


def shown(each: Rehearsal) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(report.render(each))
    return console.export_text()


def test_the_table_has_both_or_the_reason_why_not() -> None:
    both = shown(Rehearsal(outcome("broker-away"), outcome("broker-away", ok=False)))
    assert both.count("what was seen") == 2 and "pass" in both and "fail" in both
    reason = shown(Rehearsal(outcome("soak"), outcome("soak", skipped="no such parts")))
    assert "not with Airflow's own settings: no such parts" in " ".join(reason.split())
    assert reason.count("what was seen") == 1


def test_a_drill_that_is_interrupted_on_the_other_stack_keeps_what_both_have() -> None:
    found = [Rehearsal(outcome("broker-away"))]
    there = outcome("broker-away", interrupted=True)
    rehearse._note(found, there)
    assert found == [Rehearsal(outcome("broker-away"), there)]
    here = outcome("partition", interrupted=True)
    rehearse._note(found, here)
    assert found[1:] == [Rehearsal(here)]


def test_a_stack_that_does_not_come_up_is_the_reason_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from windtunnel.errors import WindtunnelError
    from windtunnel.stock import rehearse as stock_rehearse

    def private(make: object) -> object:
        raise WindtunnelError("cannot make a temporary folder")

    monkeypatch.setattr(stock_rehearse, "private", private)
    beside = Beside.__new__(Beside)
    beside.settings = SimpleNamespace(dags=tmp_path)  # type: ignore[assignment]
    found = beside(SCENARIOS["broker-away"], Console(file=io.StringIO()), False)
    assert found.skipped == "cannot make a temporary folder"


def test_what_a_killed_process_started_ends_with_it_as_in_a_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as main:
        assert main.stdout is not None
        child = psutil.Process(int(main.stdout.readline()))
        stock = cluster.StockCluster.__new__(cluster.StockCluster)
        monkeypatch.setattr(stock, "main_pid", lambda _: main.pid, raising=False)
        stock.kill("worker-0", signal.SIGSTOP)
        assert child.is_running() and main.poll() is None
        stock.kill("worker-0")
        assert main.wait(5) == -signal.SIGKILL
        psutil.wait_procs([child], 5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
