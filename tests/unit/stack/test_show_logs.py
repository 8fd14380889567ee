"""`windtunnel logs`: the file of a process by either of its names, and the log of a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from windtunnel.clients.airflow import ApiError, TaskInstance
from windtunnel.errors import UsageError
from windtunnel.settings import Settings, load
from windtunnel.stack import show_logs, traceback_text


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
    events: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, _: Settings) -> None:
        self.asked: list[Any] = []

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        return None if dag_id == "strange" else {}

    def pages(self, *_: Any) -> list[dict[str, Any]]:
        return [{"dag_id": "dag"}]

    def import_errors(self) -> list[tuple[str, str]]:
        return []

    def newest_runs(self, dag_id: str, limit: int) -> list[str]:
        return ["run 2", "run 1"]

    def latest_run(self, dag_id: str) -> str | None:
        return self.runs

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        if run_id == "no run":
            raise ApiError(httpx.Response(404, json={"detail": "not found"}))
        empty = dict.fromkeys(TaskInstance.__dataclass_fields__)
        rows: list[dict[str, Any]] = [
            {"task_id": "look", "try_number": 2, "map_index": 3, "state": "failed"},
            {"task_id": "later", "try_number": 0, "map_index": -1, "state": None},
        ]
        return [TaskInstance(**{**empty, **row}) for row in rows]

    def log_events(self, *words: Any) -> list[dict[str, Any]]:
        return self.events or [
            {"timestamp": "12:00", "event": words},
            {"event": "bare", "timestamp": None},
            {"other": 1},
        ]


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
    for dag, run, said in (
        ("strange", "run", "no DAG 'strange'; known: dag"),
        ("dag", "no run", "no run 'no run'; the newest: run 2, run 1"),
    ):
        with pytest.raises(UsageError, match=said):
            list(show_logs.of_task(settings, dag, run, "look"))
    monkeypatch.setattr(Api, "runs", None)
    with pytest.raises(UsageError, match="`windtunnel run dag`"):
        list(show_logs.of_task(settings, "dag", show_logs.LATEST, "look"))


def test_the_log_of_a_task_that_failed_has_the_whole_traceback_as_python_prints_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = tmp_path / "dag.py"
    code.write_text("import os\nfirst()\nsecond()\n")

    def frame(line: int) -> dict[str, Any]:
        return {"filename": str(code), "lineno": line, "name": "work"}

    detail = [
        {
            "exc_type": "ValueError",
            "exc_value": "outer",
            "exc_notes": ["hint"],
            "frames": [frame(3)],
        },
        {"exc_type": "KeyError", "exc_value": "'a'", "is_cause": True, "frames": [frame(2)]},
    ]
    failed = {
        "timestamp": "12:00",
        "level": "error",
        "event": "Task failed with exception",
        "error_detail": detail,
    }
    monkeypatch.setattr(show_logs, "Airflow", Api)
    monkeypatch.setattr(Api, "events", [failed])
    lines = list(show_logs.of_task(settings, "dag", "run", "look[3]"))
    assert lines == [
        "12:00 ERROR Task failed with exception",
        "Traceback (most recent call last):",
        f'  File "{code}", line 2, in work',
        "    first()",
        "KeyError: 'a'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{code}", line 3, in work',
        "    second()",
        "ValueError: outer",
        "hint",
    ]


def test_a_group_of_exceptions_and_a_syntax_error_are_shown_and_another_shape_is_none() -> None:
    wrong = {"filename": "a.py", "lineno": 7, "line": " x = (\n"}
    member = [{"exc_type": "SyntaxError", "exc_value": "", "syntax_error": wrong}]
    group = {"exc_type": "ExceptionGroup", "exc_value": "two", "exceptions": [member]}
    assert list(traceback_text.lines([group])) == [
        "Traceback (most recent call last):",
        "ExceptionGroup: two",
        "  ---------------- 1 ----------------",
        "  Traceback (most recent call last):",
        '    File "a.py", line 7',
        "      x = (",
        "  SyntaxError",
    ]
    assert list(traceback_text.lines("text")) == [] == list(traceback_text.lines(None))
