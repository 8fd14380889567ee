"""The reconciler's view of this machine: stopped supervisors, and workers that stay dead."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import Any

from windtunnel.ledger import ledger, temporary
from windtunnel.ledger.fence import Generation
from windtunnel.ledger.lost_tasks import Lost
from windtunnel.ledger.survivors import Survivors
from windtunnel.settings import Settings
from windtunnel.system import procfs
from windtunnel.system.logs import Say

#: process-compose starts a supervisor again within seconds, and the new one clears up by itself.
ABANDONED_SECONDS = 20.0


class Machine:
    """Works without broker and database."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.dead_since: dict[str, float] = {}
        self.complaints: dict[str, str] = {}

    def check(self, now: float) -> None:
        for files in ledger.all_workers(self.settings.run):
            data = ledger.read(files.supervisor)
            pid, start = int(data.get("pid") or 0), int(data.get("start") or 0)
            if data.get("boot") == procfs.boot_id() and procfs.alive(pid, start):
                self.dead_since.pop(files.name, None)
                process = procfs.find(pid, start)
                if process is not None and process.state == "T":
                    who = f"the supervisor of {files.name} (pid {pid})"
                    text = f"{who} was stopped by a signal: sent SIGCONT"
                    level = logging.WARNING
                    self.say("process_continued", text, level=level, worker=files.name, pid=pid)
                    procfs.kill(process, signal.SIGCONT)
                continue
            if not (data.get("celery_pid") or files.in_hand() or files.given_up()):
                continue
            since = self.dead_since.setdefault(files.name, now)
            if now - since >= ABANDONED_SECONDS:
                try:
                    self._clear(files, data)
                except OSError as error:  # one worker's folder must not delay the others
                    self._cannot(files.name, str(error))

    def _cannot(self, name: str, why: str) -> None:
        if self.complaints.get(name) != why:
            self.complaints[name] = why
            text = f"cannot clear up behind {name}: {why}"
            self.say("cannot_clear_up", text, level=logging.WARNING, worker=name, why=why)

    def _clear(self, files: ledger.WorkerFiles, data: dict[str, object]) -> None:
        """Clears up as a new supervisor of that name would, under the lock that it would hold."""
        lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return
        try:
            files.create()
            generation = None
            if data.get("celery_pid"):
                pid, start = int(str(data["celery_pid"])), int(str(data.get("celery_start") or 0))
                generation = Generation(pid, start, str(data.get("boot", "")))
            survivors = Survivors.written(data)

            def say(
                event: str,
                text: str,
                *,
                level: int = logging.INFO,
                **fields: Any,
            ) -> None:
                line = f"{files.name}: {text}"
                self.say(event, line, level=level, worker=files.name, **fields)

            lost = Lost(files, self.settings.state, say, survivors)
            reason = "its supervisor died and was not started again"
            lost.fence_and_note(generation, None, reason, lambda: None)
            lost.send(until=0.0)
            temporary.remove(files)
            of_celery = ("celery_pid", "sid", "celery_start")
            left = {key: value for key, value in data.items() if key not in of_celery}
            news = {
                "state": "stopped",
                "detail": "its supervisor died",
                "survivors": survivors.entries,
            }
            ledger.write(files.supervisor, left | news)
        finally:
            os.close(lock)

    def schedulers(self) -> int | None:
        """How many schedulers of this stack run here; None where it finds none."""
        found: dict[int, int] = {}
        for process in procfs.snapshot().values():
            try:
                text = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            except OSError:
                continue
            words = text.replace(b"\0", b" ").split()
            if b"scheduler" in words and any(word.endswith(b"airflow") for word in words):
                state = procfs.environment(process.pid).get("WINDTUNNEL_STATE")
                if state == str(self.settings.state) and process.state not in "ZX":
                    found[process.pid] = process.ppid
        return sum(parent not in found for parent in found.values()) or None
