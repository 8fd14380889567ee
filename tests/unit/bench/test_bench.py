"""`windtunnel bench` without a stack: its arithmetic, its table, what stock is given, and how it refuses."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from windtunnel.bench import dags, figures, places, processes, report, stock_stack
from windtunnel.bench.measurements import Round
from windtunnel.bench.result import Result, Summary
from windtunnel.cli import app
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.stack import ports
from windtunnel.stack.private import clean_environment

MACHINE: dict[str, Any] = {
    "cores": 2,
    "memory_gib": 23.5,
    "load_average": [0.1, 0, 0],
    "versions": {"airflow": "3.3.2", "python": "3.12.1"},
}


def result(ours: list[float], theirs: list[float]) -> Result:
    chosen = figures.choose(["chain", "memory"], figures.FULL)
    rounds = {
        "windtunnel": [Round({"chain": x}) for x in ours],
        "stock": [Round({"chain": x}) for x in theirs],
    }
    return Result(chosen, MACHINE, rounds)


def shown(result: Result) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.render(result))
    return console.export_text()


# -- arithmetic ------------------------------------------------------------------------------------


def test_every_round_is_kept_with_median_and_spread() -> None:
    assert Summary([3.0, 1.0, 2.5]).as_json() == {
        "rounds": [3.0, 1.0, 2.5],
        "median": 2.5,
        "min": 1.0,
        "max": 3.0,
    }
    assert Summary([1.0, 2.0]).median == 1.5


def test_the_ratio_is_of_medians_and_says_how_many_times_less_ours_needs() -> None:
    assert result([5.0, 4.0, 30.0], [50.0, 45.0, 40.0]).ratio("chain") == 9.0


def test_there_is_no_ratio_without_both_stacks() -> None:
    assert result([5.0], []).ratio("chain") is None
    assert result([5.0], [45.0]).ratio("memory") is None


def test_cpu_between_two_looks_counts_processes_that_came_or_went() -> None:
    assert processes.difference({"worker": 1.0, "gone": 2.0}, {"worker": 4.0, "new": 0.5}) == {
        "worker": 3.0,
        "gone": -2.0,
        "new": 0.5,
    }


def test_cpu_of_ended_children_is_counted() -> None:
    """A child that burns CPU and is waited for must appear in the total of the tree, or short-lived task processes would be free."""
    import psutil

    before = psutil.Process().cpu_times()
    os.waitpid(
        os.spawnlp(os.P_NOWAIT, sys.executable, sys.executable, "-c", "sum(range(6_000_000))"), 0
    )
    after = psutil.Process().cpu_times()
    assert (
        after.children_user + after.children_system > before.children_user + before.children_system
    )


# -- what is printed -------------------------------------------------------------------------------


def test_json_has_a_version_every_round_and_the_machine() -> None:
    data = result([5.0, 4.0], [50.0, 40.0]).as_json()
    assert data["version"] == 1 and data["machine"] == MACHINE
    row = data["figures"]["chain"]
    assert (
        row["windtunnel"]["rounds"] == [5.0, 4.0]
        and row["stock"]["max"] == 50.0
        and row["stock/windtunnel"] == 10.0
    )
    assert "windtunnel" not in data["figures"]["memory"], (
        "a figure that was not measured must not appear as one"
    )


def test_the_table_shows_median_spread_and_ratio() -> None:
    text = shown(result([5.0, 4.0, 4.5], [45.0, 44.0, 46.0]))
    assert re.search(
        r"40 no-op tasks in sequence +4\.50 s \(4\.00 to 5\.00\) +45\.0 s \(44\.0 to 46\.0\) +10\.00x",
        text,
    ), text
    assert "3 rounds" in text and "2 cores" in text


def test_memory_before_and_after_the_many_tasks_is_shown() -> None:
    found = result([5.0], [45.0])
    found.rounds["stock"][0].details |= {
        "many memory before": {"a": 1000.0, "b": 200.0},
        "many memory after": {"a": 1400.0},
    }
    assert "stock: 1200 MiB before the many tasks, 1400 MiB after them" in shown(found)


def test_figures_by_process_are_medians() -> None:
    found = result([5.0, 4.0, 3.0], [])
    for number, one in enumerate(found.rounds["windtunnel"]):
        one.details["idle"] = {"worker": 1.0 + number, "flower": 0.5}
    assert re.search(r"worker +2\.00", shown(found)) and re.search(r"flower +0\.50", shown(found))


def test_the_table_without_stock_has_no_ratio() -> None:
    found = result([5.0], [])
    del found.rounds["stock"]
    assert "stock" not in shown(found) and "5.00 s" in shown(found)


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0.2154, "CPU-s", "0.215"),
        (0.31, "s", "0.31"),
        (45.43, "s", "45.4"),
        (1210.3, "MiB", "1210"),
    ],
)
def test_numbers_are_shown_to_three_places_that_count(number: float, unit: str, text: str) -> None:
    assert report.value(number, unit) == text


# -- what stock is given ---------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load({"WINDTUNNEL_STATE": str(tmp_path / "s")}, client=False)
    made.secrets.mkdir(parents=True)
    for name in ("database-url", "result-backend", "broker-url", "flower-basic-auth"):
        (made.secrets / name).write_text(f"secret of {name}")
    return made


USER = {
    "PATH": "/usr/bin",
    "AIRFLOW_HOME": "/x/airflow-home",
    "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "windtunnel.runtime.celery_config.CELERY_CONFIG",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    **dict.fromkeys(
        (
            "WINDTUNNEL_STATE",
            "WINDTUNNEL_WORKER",
            "WORKER_CONCURRENCY",
            "WORKERS",
            "DAGS_FOLDER",
            "PORT_OFFSET",
        ),
        "7",
    ),
    **dict.fromkeys(("PC_CONFIG_FILES", "SPT_NOENV", "PYTHONDONTWRITEBYTECODE"), "1"),
}


def test_stock_is_given_nothing_of_ours(settings: Settings) -> None:
    env = stock_stack.environment(settings, Path("/d"), USER)
    ours = (
        "WINDTUNNEL",
        "PC_",
        "WORKER",
        "SPT_NOENV",
        "PYTHONDONTWRITEBYTECODE",
        "DAGS_FOLDER",
        "PORT_OFFSET",
    )
    assert [name for name in env if name.startswith(ours)] == []
    assert [name for name, value in env.items() if "windtunnel." in value] == []
    assert "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME" not in env, (
        "what a person exported for ours must not change stock"
    )
    assert env["AIRFLOW_HOME"].startswith(str(settings.state)) and env["PATH"] == "/usr/bin"


def test_stock_has_the_settings_of_the_compose_file(settings: Settings) -> None:
    env = stock_stack.environment(settings, Path("/d"), USER)
    assert env["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert (
        env["AIRFLOW__CORE__FERNET_KEY"] == ""
        and env["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "true"
    )
    assert not [
        name for name in env if name.startswith("AIRFLOW__CELERY__") and "CONCURRENCY" in name
    ], "the default of 16 must apply"


def test_ours_keeps_what_a_person_exported_but_not_their_stack() -> None:
    env = clean_environment(USER, airflow=True)
    assert env["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "0.1"
    assert not [
        name
        for name in env
        if name.startswith(("WINDTUNNEL_STATE", "PORT_OFFSET", "WORKER", "DAGS_FOLDER"))
    ]


def test_the_stock_stack_is_the_compose_files_services_in_its_order() -> None:
    processes = yaml.safe_load(stock_stack.FILE.read_text().replace("${REPLICAS}", "1"))[
        "processes"
    ]
    wanted = {"postgres", "redis", "flower"}
    wanted |= {
        f"airflow-{name}"
        for name in ("init", "apiserver", "scheduler", "dag-processor", "triggerer", "worker")
    }
    assert set(processes) == wanted
    for name, process in processes.items():
        assert "windtunnel" not in process["command"] and "python" not in process["command"], name
        waits = process.get("depends_on", {})
        if name not in ("postgres", "redis", "airflow-init"):
            assert waits["airflow-init"] == {"condition": "process_completed_successfully"}, name
    assert "airflow-apiserver" in processes["airflow-worker"]["depends_on"]


def test_the_measured_dags_are_the_same_plain_airflow_for_both(tmp_path: Path) -> None:
    dags.write(tmp_path, figures.FULL, set(dags.texts(figures.FULL)))
    files = sorted(tmp_path.glob("*.py"))
    assert {path.stem for path in files} == set(dags.texts(figures.FULL))
    for path in files:
        compile(path.read_text(), path.name, "exec")
        assert (
            "import windtunnel" not in path.read_text()
            and "from windtunnel" not in path.read_text()
        )
    dags.write(tmp_path, figures.FULL, {"hello"})
    assert [path.stem for path in tmp_path.glob("*.py")] == ["hello"], (
        "what is not in use would cost an idle stack CPU"
    )


# -- refusals --------------------------------------------------------------------------------------


def test_a_figure_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="no figure 'speed'; there are chain, parallel-2"):
        figures.choose(["chain,speed"], figures.FULL)


def test_quick_measures_less_unless_named() -> None:
    assert set(figures.choose([], figures.QUICK)) < set(figures.choose([], figures.FULL))
    assert set(figures.choose(["many"], figures.QUICK)) == {"many"}


@pytest.mark.parametrize(
    "words", [["--only", "speed"], ["--growth", "--stock"], ["--growth", "--rounds", "2"]]
)
def test_bad_arguments_are_refused_before_anything_starts(words: list[str]) -> None:
    outcome = CliRunner().invoke(app, ["bench", *words])
    assert isinstance(outcome.exception, WindtunnelError) and outcome.exception.code == Exit.USAGE
    assert "\n" not in str(outcome.exception)


def test_no_rounds_is_refused() -> None:
    assert CliRunner().invoke(app, ["bench", "--rounds", "0"]).exit_code == Exit.USAGE


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        WindtunnelError,
        match=r"postgres, initdb, valkey-server, .* not on PATH: run this through ./dev",
    ):
        places.require_programs()


def test_a_port_offset_is_really_free() -> None:
    import socket

    from windtunnel.settings import Ports

    offset = ports.free_offset()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", Ports().shifted(offset).api))
        assert ports.is_taken(Ports().shifted(offset).api)


def test_a_projects_airflow_is_measured_in_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is the one of the last `up`, or is made."""
    asked: list[Any] = []
    python = str(tmp_path / "environment" / "bin" / "python")

    def interpreter(project: Any, settings: Settings) -> str:
        asked.append((project.root, settings.state))
        return python

    monkeypatch.setattr("windtunnel.bench.places.project_packages.interpreter", interpreter)
    monkeypatch.setattr(
        "windtunnel.bench.places.programs.change_to", lambda *words: asked.append(words)
    )
    for name in ("WINDTUNNEL_STATE", "WINDTUNNEL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "dags").mkdir()
    monkeypatch.chdir(tmp_path / "dags")
    places.enter_project(["bench"])
    assert asked == [], "no folder upwards ever had a stack"
    (tmp_path / ".windtunnel").mkdir()
    places.enter_project(["bench", "--quick"])
    assert asked == [
        (tmp_path, tmp_path / ".windtunnel"),
        (python, ["bench", "--quick"], "windtunnel"),
    ]
