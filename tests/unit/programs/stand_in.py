"""Stands in for Celery under a real supervisor: writes the same files, and misbehaves on request.

    stand_in.py supervise [ARGUMENTS]   the real supervisor, with `celery` below instead of Airflow's worker
    stand_in.py celery                  health.json every 0.2 s; SIGTERM ends it after STAND_IN_DRAIN seconds

A task is in hand from the start where STAND_IN_TASK is set: an entry in the ledger and STAND_IN_CHILD, by default a `sleep`, in
a session of its own. STAND_IN_PRINTS prints without end. STAND_IN_FENCE shortens the time after which the fence gives up.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from windtunnel.ledger import ledger
from windtunnel.system import procfs


def supervise(arguments: list[str]) -> int:
    from windtunnel.ledger import fence
    from windtunnel.worker import celery_process, supervisor

    fence.SECONDS = float(os.environ.get("STAND_IN_FENCE", fence.SECONDS))
    celery_process.CeleryProcess.command = lambda self: [sys.executable, __file__, "celery"]  # type: ignore[method-assign]
    return supervisor.main(arguments)


def chatter() -> None:
    while True:
        os.write(1, b"x" * 1000 + b"\n")


def celery() -> int:
    files = ledger.WorkerFiles.of_this_process()
    assert files is not None
    asked: list[float] = []

    def stop(signum: int, frame: object) -> None:
        asked.append(time.monotonic())
        files.stopping.write_text("SIGTERM")

    signal.signal(signal.SIGTERM, stop)
    while not (generation := ledger.read(files.supervisor).get("generation")):
        time.sleep(0.01)  # the supervisor writes it just after it has started us
    if (task := os.environ.get("STAND_IN_TASK")) and generation == 1:
        me = procfs.read(os.getpid())
        assert me is not None
        own = bool(
            os.environ.get("STAND_IN_OWN")
        )  # the task's process itself: a group of its own in Celery's session
        program = shlex.split(os.environ.get("STAND_IN_CHILD", "sleep 300"))
        child = subprocess.Popen(
            program, start_new_session=not own, process_group=0 if own else None
        )
        Path(os.environ["STAND_IN_NOTES"]).write_text(str(child.pid))
        entry = {
            "pid": os.getpid(),
            "start": me.start,
            "task_id": "work",
            "dag_id": "d",
            "run_id": "r",
            "try_number": 1,
        }
        ledger.write(files.task(task), {**entry, "log": os.environ.get("STAND_IN_LOG")})
    if os.environ.get("STAND_IN_PRINTS"):
        threading.Thread(target=chatter, daemon=True).start()
    while not asked or time.monotonic() - asked[0] < float(os.environ.get("STAND_IN_DRAIN", "0.3")):
        connected = os.environ.get("STAND_IN_PULSE") != "broker away"
        ledger.write(
            files.health, {"time": time.time(), "connected": connected, "consuming": connected}
        )
        time.sleep(0.2)
    if task:
        files.task(task).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[2:]) if sys.argv[1] == "supervise" else celery())
