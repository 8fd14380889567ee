"""What is collected of a stack in which something hangs; a part that is away costs only its own piece."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.testing import fake_stack
from windtunnel.health import status
from windtunnel.settings import Settings, load
from windtunnel.testing.journal import Fault, Started
from windtunnel.testing.report import collect, entry, source, stacks

STATUS: dict[str, Any] = {
    "state": "degraded",
    "processes": [],
    "problems": [{"part": "worker-0", "what": f"silent; {fake_stack.SECRET}", "do": "wait"}],
}


class Collected:
    """The status that `status` gives."""

    def __init__(self, **rows: Any) -> None:
        self.data = STATUS | rows

    def as_json(self) -> dict[str, Any]:
        return self.data


@pytest.fixture
def state(tmp_path: Path) -> Path:
    fake_stack.make(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def settings(state: Path) -> Iterator[Settings]:
    with fake_stack.api(state) as found:
        yield found


@pytest.fixture
def hanging() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def collected(target: Path, state: Path, settings: Settings | None) -> entry.Entry:
    now = time.time()
    found = entry.Entry("t.py::test_a", "failed", "x", now - 60, now + 60)
    target.mkdir()
    where = source.Source(
        state,
        settings,
        runs=[Started(fake_stack.DAG, fake_stack.RUN, now)],
        faults=[Fault("worker-0", "killed", now, None)],
    )
    collect.Collector(target, found, where).collect()
    return found


def unhealthy(pid: int) -> Collected:
    row = {"name": "scheduler", "pid": pid, "well": False, "wrong": "no heartbeat"}
    return Collected(processes=[row])


def test_the_status_of_the_moment_is_kept_and_its_problems_are_named(
    tmp_path: Path, state: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "collect", lambda _: Collected())
    found = collected(tmp_path / "out", state, settings)
    assert found.problems == [{"part": "worker-0", "what": "silent; ***"}]
    assert "degraded" in (tmp_path / "out" / "status.json").read_text()
    assert found.notes == []
    assert found.faults[0]["name"] == "worker-0"


def test_a_process_that_is_not_well_has_its_stack_by_py_spy(
    tmp_path: Path,
    state: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    hanging: int,
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "py-spy").write_text(
        '#!/bin/sh\necho "stack of $3, which has the-secret-of-valkey"\n'
    )
    (programs / "py-spy").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(status, "collect", lambda _: unhealthy(hanging))
    found = collected(tmp_path / "out", state, settings)
    text = (tmp_path / "out" / "stacks.txt").read_text()
    assert f"== scheduler (pid {hanging}) ==\nstack of {hanging}, which has ***" in text
    assert "stacks.txt" in found.files and found.notes == []


def test_without_py_spy_the_page_says_so(
    tmp_path: Path,
    state: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    hanging: int,
) -> None:
    monkeypatch.setattr(stacks, "program", lambda: None)
    monkeypatch.setattr(status, "collect", lambda _: unhealthy(hanging))
    assert collected(tmp_path / "out", state, settings).notes == [stacks.MISSING]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "#!/bin/sh\necho 'Permission denied\n\nStack backtrace:' >&2; exit 1\n",
            "py-spy failed: Permission denied",
        ),
        ("#!/bin/sh\nexec sleep 30\n", "py-spy had no answer after 0 s"),
        ("#!/no/such/program\n", "py-spy cannot be run (No such file or directory)"),
    ],
)
def test_a_py_spy_that_fails_has_its_reason_in_place_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: int, text: str, said: str
) -> None:
    monkeypatch.setattr(stacks, "DUMP_SECONDS", 0.3)
    program = tmp_path / "py-spy"
    program.write_text(text)
    program.chmod(0o755)
    assert said in stacks.dump(str(program), {hanging: "scheduler"})


def test_a_run_that_has_not_ended_makes_its_task_and_the_scheduler_worth_a_look(
    state: Path, hanging: int
) -> None:
    tasks = state / "run" / "workers" / "worker-0" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "celery-id.json").write_text(f'{{"pid": {hanging}, "task_id": "load"}}')
    settings = load({"WINDTUNNEL_STATE": str(state)})
    assert stacks.targets(settings, {}, waiting=False) == {}
    found = stacks.targets(settings, {}, waiting=True)
    assert found == {hanging: "worker-0, task load"}


def test_without_the_api_the_logs_of_the_tasks_are_there(tmp_path: Path, state: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(state), "PORT_OFFSET": "50000"})
    (state / "secrets" / "airflow-password").write_text("password-of-admin")
    found = collected(tmp_path / "out", state, settings)
    assert "tasks/1-etl/load.try-2.log" in found.files
    assert [note.partition(":")[0] for note in found.notes] == [
        "the runs cannot be had",
        "the status cannot be had",
        stacks.MISSING.partition(":")[0],
    ][: len(found.notes)]
    assert "redis://***@127.0.0.1/0" in (tmp_path / "out/tasks/1-etl/load.try-2.log").read_text()


def test_an_error_of_the_collection_is_a_note_and_no_error_of_the_test(
    tmp_path: Path, state: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Settings) -> Collected:
        raise RuntimeError(f"a mistake of ours, {fake_stack.SECRET}")

    monkeypatch.setattr(status, "collect", broken)
    found = collected(tmp_path / "out", state, settings)
    assert found.notes == ["the status cannot be had: RuntimeError: a mistake of ours, ***"]
    assert "components/worker-0.log" in found.files


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("task_id=load/attempt=1.log", "load.try-1.log"),
        ("task_id=group.load/map_index=12/attempt=3.log", "group.load.12.try-3.log"),
        ("task_id=wait/attempt=1.log.trigger.7.log", "wait.try-1.trigger.7.log"),
    ],
)
def test_a_log_of_a_task_has_a_short_name(path: str, name: str) -> None:
    assert collect._task_name(Path(path)) == name
