"""What a crash left behind is found by the files that it left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel.ledger import ledger
from windtunnel.settings import Settings, load
from windtunnel.stack import leftovers
from windtunnel.stack.ports import free_offset
from windtunnel.system import procfs


def test_a_creation_of_the_database_that_was_interrupted_does_not_stop_the_next_up(
    tmp_path: Path,
) -> None:
    """PostgreSQL in single-user mode writes its pid negative; `up` ended in a traceback over it."""
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"-{os.getpid()}\n/somewhere\n")
    assert leftovers.find(settings) == [], "this test is no PostgreSQL"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Leads a session, as a worker's Celery does."""
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def recorded(state: Path, process: subprocess.Popen[bytes], **change: object) -> Settings:
    """A state folder whose worker wrote down that session."""
    found = procfs.read(process.pid)
    assert found is not None
    record = {
        "sid": found.pid,
        "celery_pid": found.pid,
        "celery_start": found.start,
        "boot": procfs.boot_id(),
    }
    files = ledger.WorkerFiles(state / "run", "worker-0")
    files.create()
    ledger.write(files.supervisor, {**record, **change})
    return load({"WINDTUNNEL_STATE": str(state)}, client=False)


def test_a_session_that_a_worker_wrote_down_is_found(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    settings, began = recorded(tmp_path, sleeper), procfs.read(sleeper.pid)
    assert [p.pid for p in leftovers.find(settings)] == [sleeper.pid]
    leftovers.end_all(leftovers.find(settings))
    assert began is not None and not procfs.alive(*began.key)


def test_process_compose_is_ended_before_what_it_would_start_again(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)
    env = {"WINDTUNNEL_STACK": str(settings.state), "PATH": os.environ["PATH"]}
    # PostgreSQL's number is the smaller one.
    started = [
        subprocess.Popen(
            ["bash", "-c", f"echo -n {name} >/proc/self/comm; echo; read _"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("postgres", "process-compose")
    ]
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
        first, second = leftovers.find(settings)
        assert [first.pid, second.pid] == [started[1].pid, started[0].pid]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    "change",
    [{"boot": "the boot before"}, {"celery_start": 1}, {"boot": None}, {"celery_start": "x"}],
)
def test_a_stranger_with_the_number_of_a_session_from_before_a_reboot_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], change: dict[str, object]
) -> None:
    assert leftovers.find(recorded(tmp_path, sleeper, **change)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
@pytest.mark.parametrize(
    "command",
    [
        ["process-compose", "up", "-D"],
        ["process-compose", "down"],
        ["windtunnel", "reset", "--yes"],
    ],
)
def test_what_may_not_be_ended_is_named_in_one_line_and_nothing_is_deleted_below_it(
    tmp_path: Path, command: list[str]
) -> None:
    """`setpriv` takes from root the right to signal others' processes: as an ordinary user meets a process of `sudo`."""
    state = tmp_path / "state"
    (state / "logs").mkdir(parents=True)
    other = ["setpriv", "--reuid", "65534", "--clear-groups", "sleep", "300"]
    stray = subprocess.Popen(
        other, env={"PATH": os.environ["PATH"], "WINDTUNNEL_STACK": str(state)}
    )
    try:
        while procfs.name(stray.pid) != "sleep":
            time.sleep(0.05)
        done = subprocess.run(
            ["setpriv", "--bounding-set", "-kill", *command],
            env={**os.environ, "WINDTUNNEL_STATE": str(state), "PORT_OFFSET": str(free_offset())},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, done.stderr
        assert (
            f"{stray.pid} (sleep, user nobody)" in done.stderr
            and f"sudo kill -9 {stray.pid}" in done.stderr
        )
        assert "Traceback" not in done.stderr
        assert stray.poll() is None and (state / "logs").is_dir()
    finally:
        stray.kill()
        stray.wait()
