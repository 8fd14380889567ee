"""The fence ends what a worker left behind, and nothing else. Real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from windtunnel.ledger.fence import Generation, fence, leftovers
from windtunnel.ledger.survivors import TITLE
from windtunnel.system import procfs

#: A leader with a child in its session, and a grandchild in a session of its own, as BashOperator makes them.
TREE = "sleep 300 & setsid sleep 301 & wait"


@pytest.fixture
def group() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def spawn(
    group: list[subprocess.Popen[bytes]], *command: str, **marks: str
) -> tuple[subprocess.Popen[bytes], Generation]:
    process = subprocess.Popen(
        command, start_new_session=True, env={"PATH": os.environ["PATH"], **marks}
    )
    group.append(process)
    found = procfs.read(process.pid)
    assert found is not None
    return process, Generation(process.pid, found.start, procfs.boot_id())


def until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "condition never came true"
        time.sleep(0.02)


def test_ends_a_session_and_the_sessions_that_its_members_opened(
    group: list[subprocess.Popen[bytes]],
) -> None:
    leader, generation = spawn(group, "bash", "-c", TREE)
    until(lambda: len(procfs.tree(leader.pid)) >= 3)
    members = procfs.tree(leader.pid)
    assert set(members) <= set(fence("worker-x", "/nowhere", generation, reap=leader.poll))
    assert not [
        pid for pid in members if (p := procfs.read(pid)) is not None and p.state not in "ZX"
    ]


def test_finds_members_after_their_leader_died(group: list[subprocess.Popen[bytes]]) -> None:
    leader, generation = spawn(
        group, "bash", "-c", "sleep 300 & wait", WINDTUNNEL_WORKER="worker-x"
    )
    until(lambda: len(procfs.tree(leader.pid)) == 2)
    child = procfs.tree(leader.pid)[1]
    leader.kill()
    leader.wait()
    assert [p.pid for p in leftovers("worker-x", "/nowhere", generation)] == [child]
    assert fence("worker-x", "/nowhere", generation) == [child]


def test_leaves_a_strangers_daemon_alone_whose_session_has_the_number_of_a_dead_leader(
    group: list[subprocess.Popen[bytes]],
) -> None:
    leader, generation = spawn(group, "bash", "-c", "sleep 300 & wait")
    until(lambda: len(procfs.tree(leader.pid)) == 2)
    daemon = procfs.read(procfs.tree(leader.pid)[1])
    leader.kill()
    leader.wait()
    assert daemon is not None
    try:
        assert fence("worker-x", "/nowhere", generation) == []
        assert procfs.alive(*daemon.key)
    finally:
        procfs.kill(daemon)


def test_finds_by_its_marks_what_left_the_session(group: list[subprocess.Popen[bytes]]) -> None:
    marks = {"WINDTUNNEL_WORKER": "worker-x", "WINDTUNNEL_STATE": "/state/a"}
    stray, _ = spawn(group, "sleep", "300", **marks)
    other, _ = spawn(group, "sleep", "300", **{**marks, "WINDTUNNEL_STATE": "/state/b"})
    until(
        lambda: (
            procfs.environment(stray.pid).get("WINDTUNNEL_WORKER")
            and procfs.environment(other.pid).get("WINDTUNNEL_WORKER")
        )
    )
    assert fence("worker-x", "/state/a", None, reap=stray.poll) == [stray.pid]
    assert other.poll() is None


@pytest.mark.parametrize(
    ("marks", "is_ours"),
    [({}, True), ({"WINDTUNNEL_WORKER": "worker-y", "WINDTUNNEL_STATE": "/state/a"}, False)],
)
def test_a_task_that_another_worker_has_in_hand_by_now_is_left_alone(
    group: list[subprocess.Popen[bytes]], marks: dict[str, str], is_ours: bool
) -> None:
    """A fork of the lost task has its title and no environment; the retry has both."""
    task = subprocess.Popen(
        [f"{TITLE}0199"],
        executable=shutil.which("bash"),
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=marks,
    )
    group.append(task)
    found = leftovers("worker-x", "/state/a", None, instances={"0199"})
    assert [process.pid for process in found] == ([task.pid] if is_ours else [])


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another boot"}])
def test_leaves_a_stranger_alone_that_was_given_the_same_number(
    group: list[subprocess.Popen[bytes]], change: dict[str, object]
) -> None:
    stranger, generation = spawn(group, "sleep", "300")
    stale = Generation(**{**vars(generation), **change})
    assert fence("worker-x", "/nowhere", stale) == []
    assert stranger.poll() is None


def test_stopped_processes_end_too(group: list[subprocess.Popen[bytes]]) -> None:
    leader, generation = spawn(group, "sleep", "300")
    os.kill(leader.pid, signal.SIGSTOP)
    assert fence("worker-x", "/nowhere", generation, reap=leader.poll) == [leader.pid]


def test_a_name_in_brackets_does_not_confuse_the_reader(
    group: list[subprocess.Popen[bytes]],
) -> None:
    script = "import sys,time,pathlib; pathlib.Path('/proc/self/comm').write_text('a) R (1 2'); print('x', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    group.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    until(
        lambda: (
            (p := procfs.read(process.pid)) is not None and (p.ppid, p.state) == (os.getpid(), "S")
        )
    )
