"""The supervisor, as a process of its own, around a stand-in for Celery (programs/stand_in.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from windtunnel import settings
from windtunnel.health import problems
from windtunnel.ledger import ledger
from windtunnel.system import events, procfs

PROGRAM = Path(__file__).parents[1] / "programs" / "stand_in.py"
TASK = "11111111-2222-3333-4444-555555555555"


class Worker:
    """One supervisor and what it wrote."""

    def __init__(self, state: Path) -> None:
        self.state = state
        (state / "logs").mkdir()
        self.files = ledger.WorkerFiles(state / "run", "worker-7")
        self.notes = state / "child"
        self.output = state / "output"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(
        self, *before: str, out: int | None = None, **variables: str
    ) -> subprocess.Popen[bytes]:
        """`before` stands before the command line; `out` is its standard output instead of a file."""
        env = {
            **os.environ,
            "WINDTUNNEL_STATE": str(self.state),
            "STAND_IN_NOTES": str(self.notes),
            "WORKER_DRAIN_SECONDS": "20",
            "WINDTUNNEL_VALKEY_PORT": "1",
            "WINDTUNNEL_POSTGRES_PORT": "1",
            **variables,
        }
        command = [
            *before,
            sys.executable,
            str(PROGRAM),
            "supervise",
            "--name",
            "worker-7",
            "--concurrency",
            "1",
        ]
        with self.output.open("ab") as file:
            process = subprocess.Popen(command, env=env, stdout=out or file, stderr=file)
        self.started.append(process)
        return process

    def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"never came true; the supervisor said:\n{self.said()}"
            time.sleep(0.05)

    def is_state(self, state: str) -> Callable[[], bool]:
        return lambda: self.data().get("state") == state

    def is_healthy_again(self, former: int) -> Callable[[], bool]:
        """Whether another Celery is healthy than the one whose pid is `former`."""

        def check() -> bool:
            data = self.data()
            return data.get("celery_pid") not in (former, None) and data["state"] == "healthy"

        return check

    def data(self) -> dict[str, object]:
        return ledger.read(self.files.supervisor)

    def survivors(self) -> list[dict[str, Any]]:
        return list(ledger.read(self.files.supervisor).get("survivors") or [])

    def celery(self) -> int:
        return int(str(self.data()["celery_pid"]))

    def events(self) -> list[events.Event]:
        return events.read(self.state / "logs" / events.NAME)

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def child_lives(self) -> bool:
        found = procfs.read(int(self.notes.read_text()))
        return found is not None and found.state not in "ZX"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
    if made.notes.exists() and (left := procfs.read(int(made.notes.read_text()))):
        procfs.kill(left)


def test_sigterm_drains_and_exits_0(worker: Worker) -> None:
    process = worker.start(STAND_IN_TASK=TASK, STAND_IN_DRAIN="2")
    worker.until(worker.is_state("healthy"))
    assert worker.files.ready.exists()
    process.send_signal(signal.SIGTERM)
    worker.until(worker.is_state("draining"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "SIGTERM ignored: already draining" in worker.said()
    assert not worker.files.ready.exists()
    assert worker.data()["state"] == "stopped"
    assert not worker.child_lives(), "what a drained worker's tasks left behind ends with it"


def test_past_the_ceiling_the_tasks_are_named_cut_off_and_reported(worker: Worker) -> None:
    process = worker.start(STAND_IN_TASK=TASK, STAND_IN_DRAIN="60", WORKER_DRAIN_SECONDS="1")
    worker.until(worker.is_state("healthy"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 1
    assert "cut off: d.work (run r, try 1)" in worker.said()
    assert not worker.child_lives()
    assert worker.files.given_up().keys() == {TASK}, (
        "kept for the next supervisor, since this stack has no broker"
    )


def test_a_crash_is_fenced_said_in_the_task_log_and_followed_by_a_restart(
    worker: Worker, tmp_path: Path
) -> None:
    log = tmp_path / "task.log"
    worker.start(STAND_IN_TASK=TASK, STAND_IN_LOG=str(log))
    worker.until(worker.is_state("healthy"))
    first = worker.celery()
    os.kill(first, signal.SIGKILL)
    worker.until(worker.is_healthy_again(first))
    assert not worker.child_lives()
    assert "Celery crashed (signal SIGKILL); tasks in hand: d.work (run r, try 1)" in worker.said()
    assert "signal SIGKILL" in log.read_text()
    assert worker.data()["restarts"] == 1
    assert not worker.files.in_hand()
    assert worker.files.given_up().keys() == {TASK}


def test_each_step_of_a_crash_is_an_event_and_the_same_text_a_line(worker: Worker) -> None:
    worker.start(STAND_IN_TASK=TASK)
    worker.until(worker.is_state("healthy"))
    first, child = worker.celery(), int(worker.notes.read_text())
    os.kill(first, signal.SIGKILL)
    worker.until(lambda: worker.data().get("celery_pid") not in (first, None))
    worker.until(worker.is_state("healthy"))
    found = worker.events()
    assert [event["event"] for event in found] == [
        "state",
        "state",
        "processes_ended",
        "task_lost",
        "celery_ended",
        "state",
        "state",
        "state",
    ]
    states = [event["state"] for event in found if event["event"] == "state"]
    assert states == ["starting", "healthy", "unhealthy: crashed", "starting", "healthy"]
    ended, lost, crashed = found[2:5]
    assert child in ended["pids"]
    assert (lost["task"], lost["dag_id"], lost["try_number"]) == (TASK, "d", 1)
    assert (crashed["how"], crashed["tasks"]) == ("signal SIGKILL", [TASK])
    assert found[0]["pid"] == first
    assert {(event["component"], event["worker"]) for event in found} == {("worker-7", "worker-7")}
    warnings = [event["event"] for event in found if event["level"] == "warning"]
    assert warnings == ["processes_ended", "task_lost", "celery_ended", "state"]
    lines = [line.partition(" supervisor of worker-7: ")[2] for line in worker.said().splitlines()]
    assert [line for line in lines if line] == [event["text"] for event in found]


def test_a_killed_supervisor_takes_celery_with_it_and_the_next_one_fences(worker: Worker) -> None:
    process = worker.start(STAND_IN_TASK=TASK)
    worker.until(worker.is_state("healthy"))
    celery = worker.celery()
    process.kill()
    process.wait()
    worker.until(lambda: (p := procfs.read(celery)) is None or p.state in "ZX")
    assert worker.child_lives(), "a session of its own survives: that is what the fence is for"
    worker.start()
    worker.until(lambda: worker.data().get("celery_pid") not in (celery, None))
    assert not worker.child_lives()
    assert worker.files.given_up().keys() == {TASK}


def test_a_stopped_celery_is_reported_and_continued(worker: Worker) -> None:
    worker.start()
    worker.until(worker.is_state("healthy"))
    os.kill(worker.celery(), signal.SIGSTOP)
    worker.until(worker.is_state("unhealthy: stopped"))
    worker.until(worker.is_state("healthy"))
    assert "sent SIGCONT" in worker.said()


def test_a_broker_outage_is_reported_and_nothing_is_restarted(worker: Worker) -> None:
    worker.start(STAND_IN_PULSE="broker away")
    worker.until(worker.is_state("unhealthy: broker unreachable"))
    celery = worker.celery()
    time.sleep(2)
    assert worker.celery() == celery
    assert not worker.files.ready.exists()


def test_celery_told_from_outside_to_stop_ends_the_supervisor_well(worker: Worker) -> None:
    process = worker.start()
    worker.until(worker.is_state("healthy"))
    os.kill(worker.celery(), signal.SIGTERM)
    assert process.wait(10) == 0


def test_two_supervisors_of_one_name_do_not_fence_each_other(worker: Worker) -> None:
    worker.start()
    worker.until(worker.is_state("healthy"))
    assert worker.start().wait(10) == 1
    assert "already has a supervisor" in worker.said()
    assert worker.is_state("healthy")()


def test_a_task_that_prints_without_end_into_a_pipe_that_nobody_reads_delays_nothing(
    worker: Worker,
) -> None:
    """As process-compose does when it is stopped; and as it is when it reads slowly."""
    read_end, write_end = os.pipe()
    process = worker.start(out=write_end, STAND_IN_PRINTS="1", STAND_IN_DRAIN="1")
    os.close(write_end)
    worker.until(worker.is_state("healthy"))
    time.sleep(4)  # longer than READY_EVERY_SECONDS: the marker is touched again
    assert time.time() - worker.files.ready.stat().st_mtime < 6
    process.send_signal(signal.SIGTERM)
    worker.until(worker.is_state("draining"), 5)
    assert process.wait(15) == 0
    os.close(read_end)


#: Root, but without the right to signal processes of others: `setpriv` stands in for an ordinary user and `sudo`.
POWERLESS = ("setpriv", "--bounding-set", "-kill")
OF_ANOTHER_USER = "setpriv --reuid 65534 --clear-groups sleep 300"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start a process of another user"
)


@needs_root
def test_a_program_that_cannot_be_killed_holds_nothing_up_and_is_named(worker: Worker) -> None:
    process = worker.start(
        *POWERLESS, STAND_IN_TASK=TASK, STAND_IN_CHILD=OF_ANOTHER_USER, STAND_IN_FENCE="1"
    )
    worker.until(worker.is_state("healthy"))
    first, child = worker.celery(), int(worker.notes.read_text())
    os.kill(first, signal.SIGKILL)
    worker.until(worker.is_healthy_again(first))
    assert worker.child_lives()
    assert worker.files.given_up().keys() == {TASK}
    (survivor,) = worker.survivors()
    assert survivor["pid"] == child and "user nobody" in survivor["text"]
    (problem,) = problems.survivor_problems(
        settings.load({"WINDTUNNEL_STATE": str(worker.state)}, client=False)
    )
    assert (problem.part, problem.do) == ("worker-7", f"sudo kill -9 {child}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert [entry["pid"] for entry in worker.survivors()] == [child], (
        "named for as long as it lives"
    )
    assert worker.said().count("cannot end") == 1


@needs_root
def test_a_task_whose_own_process_cannot_be_killed_is_reported_only_after_its_end(
    worker: Worker,
) -> None:
    """Not before it, and not by the next supervisor either: a second copy must never run."""
    process = worker.start(
        *POWERLESS,
        STAND_IN_TASK=TASK,
        STAND_IN_CHILD=OF_ANOTHER_USER,
        STAND_IN_OWN="1",
        STAND_IN_FENCE="1",
    )
    worker.until(worker.is_state("healthy"))
    first = worker.celery()
    os.kill(first, signal.SIGKILL)
    worker.until(worker.is_healthy_again(first))
    process.kill()
    process.wait()
    second = worker.celery()
    worker.start(*POWERLESS, STAND_IN_FENCE="1")
    worker.until(worker.is_healthy_again(second))
    time.sleep(3)  # a look at the ledger every 2 s
    assert (
        worker.child_lives()
        and worker.files.in_hand().keys() == {TASK}
        and not worker.files.given_up()
    )
    assert "d.work (run r, try 1) is not reported lost while pid" in worker.said()
    child = procfs.read(int(worker.notes.read_text()))
    assert child is not None and procfs.kill(child)
    worker.until(lambda: worker.files.given_up().keys() == {TASK})
    worker.until(lambda: not worker.survivors())


@needs_root
def test_sigterm_is_obeyed_while_something_cannot_be_killed(worker: Worker) -> None:
    process = worker.start(*POWERLESS, STAND_IN_TASK=TASK, STAND_IN_CHILD=OF_ANOTHER_USER)
    worker.until(worker.is_state("healthy"))
    celery = worker.celery()
    os.kill(celery, signal.SIGKILL)
    worker.until(lambda: procfs.read(celery) is None)
    time.sleep(1)  # in the fence
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, "the task was lost before the drain, not by it"
    assert worker.files.given_up().keys() == {TASK}
