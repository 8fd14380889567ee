"""Whose a process is, when its parents have ended and it shows no mark. Real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.ledger.survivors import TITLE
from windtunnel.ledger.task_processes import TaskProcesses
from windtunnel.system import procfs
from windtunnel.system.procfs import Process

#: A pool child whose task has started a program behind `env -i` in a session of its own, two parents away.
#: Full paths, since `env -i` takes PATH away and a build sandbox has no /usr/bin.
PROGRAM = f"{shutil.which('setsid')} {shutil.which('sleep')}"
POOL_CHILD = f"bash -c '(env -i {PROGRAM} 300 & echo $!; wait)' & wait"
#: What a task forks keeps its title.
FORKED = f"""
import os, time
from setproctitle import setproctitle
setproctitle({TITLE!r} + "0199-instance")
# One write each: two processes share the pipe.
os.write(1, b"%d\\n" % (os.fork() or os.getpid()))
time.sleep(300)
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        for member in procfs.family(process.pid):
            procfs.kill(member)
        process.wait()


def living(pid: int) -> Process:
    found = procfs.read(pid)
    assert found is not None and found.state not in "ZX"
    return found


def in_hand(run: Path, pool_child: int, **more: str) -> WorkerFiles:
    files = WorkerFiles(run, "worker-0")
    files.create()
    ledger.write(
        files.task("celery-id"), {"pid": pool_child, "start": living(pool_child).start, **more}
    )
    return files


def test_a_program_without_marks_belongs_to_the_task_below_which_it_was_seen(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    pool = subprocess.Popen(["bash", "-c", POOL_CHILD], stdout=subprocess.PIPE, text=True)
    started.append(pool)
    assert pool.stdout is not None
    program = int(pool.stdout.readline())
    while procfs.name(program) != "sleep" or living(program).sid != program:
        time.sleep(0.02)
    files, tasks = in_hand(tmp_path, pool.pid), TaskProcesses()
    tasks.look(files, 0.0, soon=True)
    try:
        assert tasks.task_of(living(program)) == "celery-id"
        assert not tasks.over(living(program), 1), "its task runs"
        for pid in procfs.children(pool.pid):
            procfs.kill(living(pid))
        while procfs.children(pool.pid):
            time.sleep(0.02)
        files.task("celery-id").unlink()
        tasks.look(files, 1.0, soon=False)
        assert tasks.over(living(program), 1)
    finally:
        procfs.kill(living(program))


def test_what_a_task_forked_belongs_to_the_task_instance_of_its_title(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    task = subprocess.Popen(
        [sys.executable, "-c", FORKED, "x" * 100], stdout=subprocess.PIPE, text=True
    )
    started.append(task)
    assert task.stdout is not None
    child = {int(task.stdout.readline()), int(task.stdout.readline())} - {task.pid}
    files, tasks = in_hand(tmp_path, task.pid, id="0199-instance"), TaskProcesses()
    tasks.look(files, 0.0, soon=True)
    assert tasks.task_of(living(child.pop())) == "celery-id"


def test_a_process_that_nobody_knows_is_left_alone_while_no_task_can_have_started_it(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True, text=True)
    started.append(stranger)
    tasks = TaskProcesses()
    tasks.look(WorkerFiles(tmp_path, "worker-0"), 0.0, soon=True)
    assert not tasks.over(living(stranger.pid), 1)


def test_a_process_that_was_never_seen_belongs_to_the_task_of_its_sessions_leader(
    started: list[subprocess.Popen[str]],
) -> None:
    leader = subprocess.Popen(
        ["bash", "-c", "sleep 0.1; sleep 300 & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started.append(leader)
    assert leader.stdout is not None
    child = living(int(leader.stdout.readline()))
    tasks = TaskProcesses()
    # A process of another task had the child's number before.
    tasks.seen = {
        leader.pid: (living(leader.pid).start, "celery-id"),
        child.pid: (child.start - 1, "another"),
    }
    assert tasks.task_of(child) == "celery-id"
