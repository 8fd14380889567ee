"""`windtunnel logs`: the file of a process by either of its names, and the log of a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from windtunnel.clients.airflow import TaskInstance
from windtunnel.errors import UsageError
from windtunnel.settings import Settings, load
from windtunnel.stack import show_logs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    found.logs.mkdir()
    for name in ("scheduler", "worker-1", "worker-2"):
        (found.logs / f"{name}.log").touch()
    return found


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line that this process would become."""
    words: list[str] = []
    monkeypatch.setattr(os, "execvp", lambda _, line: words.extend(line))
    return words


def follow(settings: Settings, name: str | None, following: bool = False) -> None:
    with pytest.raises(AssertionError, match="unreachable"):
        show_logs.follow(settings, name, 7, following)


def test_all_logs_or_one_by_celerys_name_or_process_composes(
    settings: Settings, command: list[str]
) -> None:
    follow(settings, "worker-01")
    assert command == ["tail", "-n", "7", "--", str(settings.logs / "worker-1.log")]
    command.clear()
    follow(settings, None, following=True)
    assert command[:5] == ["tail", "-n", "7", "-F", "--"] and len(command) == 8


@pytest.mark.parametrize("name", ["nothing", "../secrets/jwt-secret", "-f", ""])
def test_a_name_that_is_no_log_is_refused_and_the_others_are_listed(
    settings: Settings, command: list[str], name: str
) -> None:
    with pytest.raises(UsageError, match="there are scheduler, worker-1, worker-2"):
        show_logs.follow(settings, name, 7, False)
    assert command == []


def test_a_stack_that_never_ran_has_none(tmp_path: Path, command: list[str]) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "new")}, client=False)
    with pytest.raises(UsageError, match="start the stack first"):
        show_logs.follow(settings, None, 7, False)


class Api:
    """Airflow's API with one run of two tasks; `later` has not begun."""

    runs: str | None = "newest"

    def __init__(self, _: Settings) -> None:
        self.asked: list[Any] = []

    def latest_run(self, dag_id: str) -> str | None:
        return self.runs

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        empty = dict.fromkeys(TaskInstance.__dataclass_fields__)
        rows: list[dict[str, Any]] = [
            {"task_id": "look", "try_number": 2, "map_index": 3, "state": "failed"},
            {"task_id": "later", "try_number": 0, "map_index": -1, "state": None},
        ]
        return [TaskInstance(**{**empty, **row}) for row in rows]

    def log_events(self, *words: Any) -> list[dict[str, Any]]:
        return [{"timestamp": "12:00", "event": words}, {"event": "bare"}, {"other": 1}]


def test_the_log_of_a_task_is_that_of_its_last_try(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_logs, "Airflow", Api)
    lines = list(show_logs.of_task(settings, "dag", show_logs.LATEST, "look[3]"))
    assert lines == ["12:00 ('dag', 'newest', 'look', 2, 3)", "bare", "{'other': 1}"]


def test_a_run_or_a_task_that_is_not_there_is_said_with_those_that_are(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_logs, "Airflow", Api)
    for task, said in (("none", "it has later, look"), ("later", "has not begun")):
        with pytest.raises(UsageError, match=said):
            list(show_logs.of_task(settings, "dag", "run", task))
    monkeypatch.setattr(Api, "runs", None)
    with pytest.raises(UsageError, match="`windtunnel run dag`"):
        list(show_logs.of_task(settings, "dag", show_logs.LATEST, "look"))
