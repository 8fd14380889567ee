"""However a worker is told to end, what it runs completes and is recorded once, and it takes nothing new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from threading import Thread

import psutil

from tests.stack_fixture import NewStack, read_marks, until

SECONDS = 20


def names(path: Path, event: str) -> list[tuple[str, str]]:
    return sorted((m.run_id, m.task_id) for m in read_marks(path) if m.event == event)


def all_started(path: Path, count: int) -> None:
    until(f"{count} tasks run", lambda: len(names(path, "start")) == count, 60)


def test_every_way_to_stop_a_worker_lets_its_python_and_bash_tasks_finish(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack(WORKERS="5", WORKER_CONCURRENCY="2")
    stack.up()
    runs = [stack.trigger("drain", seconds=SECONDS, marks=marks) for _ in range(5)]
    all_started(marks, 10)
    waiting = [stack.trigger("steady", seconds=1, marks=marks) for _ in range(3)]
    pids = {p.name: p.pid for p in stack.compose.workers()}
    celery = {node: stack.supervisor(node)["celery_pid"] for node in ("worker-0", "worker-1")}
    ways = [
        Thread(target=os.kill, args=(pids["worker-0"], signal.SIGTERM)),  # the supervisor's process
        Thread(
            target=os.kill, args=(celery["worker-1"], signal.SIGTERM)
        ),  # Celery's own main process
        Thread(target=stack.command, args=("process-compose", "process", "stop", "worker-2")),
        Thread(target=stack.command, args=("windtunnel", "drain", "worker-3")),
        Thread(target=stack.command, args=("process-compose", "process", "scale", "worker", "4")),
    ]
    for way in ways:
        way.start()
    told = max(m.time for m in read_marks(marks))
    for way in ways:
        way.join(timeout=120)
    assert [stack.finished("drain", run, 120) for run in runs] == ["success"] * 5
    ends = names(marks, "end")
    assert [e for e in ends if e[1] in ("in_bash", "in_python")] == sorted(
        (r, t) for r in runs for t in ("in_bash", "in_python")
    )
    assert len(names(marks, "start")) == len(set(names(marks, "start")))
    # What was triggered meanwhile ran only after the drain, on a worker that had come back.
    assert [stack.finished("steady", run, 120) for run in waiting] == ["success"] * 3
    drained: dict[str, float] = {}
    for mark in read_marks(marks):
        if mark.event == "end" and mark.task_id in ("in_bash", "in_python"):
            drained[mark.worker] = max(mark.time, drained.get(mark.worker, 0.0))
    assert set(drained) == {f"worker-{number}" for number in range(5)}
    new = [m for m in read_marks(marks) if m.run_id in waiting and m.event == "start"]
    assert all(told + SECONDS - 5 < m.time for m in new), "a draining worker took a new task"
    assert {m.worker for m in new} <= {"worker-0", "worker-1"}
    assert all(m.time > drained[m.worker] for m in new), "it took one before its last had ended"


def test_down_drains_and_the_next_up_finds_the_tasks_recorded(
    new_stack: NewStack, marks: Path
) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2")
    stack.up()
    run = stack.trigger("drain", seconds=SECONDS, marks=marks)
    all_started(marks, 2)
    assert stack.down().returncode == 0
    assert len(names(marks, "end")) == 2
    again = stack.down()
    assert again.returncode == 0 and "no stack is running" in again.stderr
    stack.up()
    assert stack.finished("drain", run, 30) == "success"
    assert {t.try_number for t in stack.tasks("drain", run)} == {1}


def test_ctrl_c_on_a_foreground_up_drains(new_stack: NewStack, marks: Path) -> None:
    stack = new_stack(WORKER_CONCURRENCY="2")
    foreground = subprocess.Popen(
        ["process-compose", "up"],
        env=stack.environment,
        cwd=stack.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    until("the stack is ready", lambda: stack.command("windtunnel", "wait").returncode == 0, 120)
    run = stack.trigger("drain", seconds=SECONDS, marks=marks)
    all_started(marks, 2)
    foreground.send_signal(signal.SIGINT)
    assert foreground.wait(timeout=90) == 0
    assert len(names(marks, "end")) == 2
    stack.up()
    assert stack.finished("drain", run, 30) == "success"


def test_past_its_ceiling_a_drain_says_what_it_cut_off(new_stack: NewStack, marks: Path) -> None:
    stack = new_stack(WORKER_DRAIN_SECONDS="3")
    stack.up()
    run_id = stack.trigger("steady", seconds=120, marks=marks)
    all_started(marks, 1)
    task = psutil.Process(read_marks(marks)[0].pid)
    done = stack.command("windtunnel", "drain", "worker-0", "--json", timeout=60)
    assert done.returncode == 1
    assert json.loads(done.stdout)["clean"] is False
    log = (stack.settings.logs / "worker-0.log").read_text()
    (external_id,) = (line for line in log.splitlines() if "cut off" in line)
    assert "steady" in external_id and run_id in external_id
    assert not task.is_running()
