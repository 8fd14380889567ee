"""The public record of a supervisor: log lines, supervisor.json, `ready`, the lock on its name."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from typing import Any

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.ledger.fence import Generation
from windtunnel.system import disk, logs, procfs, reserve
from windtunnel.worker.celery_process import CeleryProcess
from windtunnel.worker.options import Options

log = logging.getLogger(__name__)

READY_EVERY_SECONDS = 4.0
#: `ready` stays away this long after an incident.
#: process-compose looks every 10 s and must see that it was away.
UNREADY_SECONDS = 12.0
#: How often the reserve for a full disk is filled up.
RESERVE_EVERY_SECONDS = 10.0
#: While the disk stays full, this often a line says so: earlier lines may not be in the log.
COMPLAIN_EVERY_SECONDS = 30.0


class Record:
    """Writes supervisor.json on changes only. The age of `ready` shows a living supervisor."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.files = options.files
        self.data: dict[str, Any] = {
            "version": 1,
            "name": options.name,
            "state": "starting",
            "restarts": 0,
            "generation": 0,
            "survivors": [],
        }
        self._dirty = True
        self._ready_at = 0.0
        self._unready_until = 0.0
        self._full_since = self._complain_at = self._reserve_at = 0.0
        self._former: Generation | None = None

    def say(
        self,
        event: str,
        text: str,
        *,
        level: int = logging.INFO,
        **fields: Any,
    ) -> None:
        """Logs one line about this worker, which is also an event."""
        log.log(level, text, extra=logs.event(event, worker=self.options.name, **fields))

    def take(self) -> None:
        """Claims the name for this process.

        Raises:
            WindtunnelError: a live supervisor holds the name, and its tasks must not be fenced.
        """
        self.files.create()
        self._lock = os.open(self.files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = ledger.read(self.files.supervisor).get("pid")
            holds = f"{self.options.name} already has a supervisor (pid {holder})"
            raise WindtunnelError(f"{holds}: stop it, or use another --name") from None
        old = ledger.read(self.files.supervisor)
        self.data["survivors"] = old.get("survivors") or []
        if old.get("celery_pid"):
            sid = int(old["celery_pid"])
            start = int(old.get("celery_start", 0))
            self._former = Generation(sid, start, str(old.get("boot", "")))
            self.data["restarts"] = int(old.get("restarts", 0))
            self.data["generation"] = int(old.get("generation", 0))
            self.data["last_incident"] = old.get("last_incident")
        me = procfs.read(os.getpid())
        self.data |= {
            "pid": os.getpid(),
            "start": me.start if me else 0,
            "boot": procfs.boot_id(),
            "queues": self.options.queues.split(","),
            "concurrency": self.options.concurrency,
            "task_memory": self.options.task_memory,
            "started": time.time(),
        }
        self.files.ready.unlink(missing_ok=True)

    def former(self) -> Generation | None:
        """A Celery of an earlier supervisor of this name that ended without cleaning up."""
        return self._former

    def started(self, celery: CeleryProcess) -> None:
        generation = celery.generation
        assert generation is not None
        self.data["celery_pid"] = generation.sid
        self.data["sid"] = generation.sid
        self.data["celery_start"] = generation.start
        self.data["generation"] += 1
        slots = f"{self.options.concurrency} slots"
        detail = f"Celery is pid {celery.pid}, queues {self.options.queues}, {slots}"
        self.state("starting", detail, pid=celery.pid)
        self._dirty = True
        self.save()

    def state(self, name: str, detail: str = "", **fields: Any) -> None:
        """Records healthy, starting, draining, stopped or `unhealthy: REASON`; logs each change."""
        if self.data["state"] == name and (not detail or self.data.get("detail") == detail):
            return
        self.data |= {"state": name, "detail": detail, "since": time.time()}
        text = f"{name}: {detail}" if detail else name
        level = logging.WARNING if name.startswith("unhealthy") else logging.INFO
        self.say("state", text, level=level, state=name, **fields)
        self._dirty = True

    def incident(self, event: str, text: str, *, restart: bool = False, **fields: Any) -> None:
        """Logs that something went wrong, and keeps the text for `status`."""
        self.say(event, text, level=logging.WARNING, **fields)
        self.data["last_incident"] = {"time": time.time(), "text": text}
        if restart:
            self.data["restarts"] += 1
        self._unready_until = time.monotonic() + UNREADY_SECONDS
        self._dirty = True

    def survivors(self, entries: list[dict[str, Any]]) -> None:
        """Records the processes that cannot be killed; `status` names them."""
        if self.data["survivors"] != entries:
            self.data["survivors"] = list(entries)
            self._dirty = True

    def save(self) -> None:
        """Writes the changes. A full disk is no error here: the tasks need this supervisor."""
        now = time.monotonic()
        try:
            self._save(now)
        except OSError as error:
            self._cannot_write(error, now)
        else:
            if self._full_since:
                seconds = now - self._full_since
                self.say("can_write", f"can write again, after {seconds:.0f} s", seconds=seconds)
                self._full_since = 0.0
        if now >= self._reserve_at and not self._full_since:
            self._reserve_at = now + RESERVE_EVERY_SECONDS
            reserve.fill(self.files.folder, 2 * self.options.concurrency + 4)

    def _cannot_write(self, error: OSError, now: float) -> None:
        self._full_since = self._full_since or now
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY_SECONDS
            why = disk.problem(self.files.folder) or str(error)
            text = f"cannot write its state, and goes on: {why}"
            self.say("cannot_write", text, level=logging.WARNING, why=why)

    def _save(self, now: float) -> None:
        healthy = self.data["state"] == "healthy" and now >= self._unready_until
        if healthy and now - self._ready_at >= READY_EVERY_SECONDS:
            self.files.ready.touch()
            self._ready_at = now
        elif not healthy and self._ready_at:
            self.files.ready.unlink(missing_ok=True)
            self._ready_at = 0.0
        if self._dirty:
            ledger.write(self.files.supervisor, self.data)
            self._dirty = False

    def release(self, code: int) -> None:
        """Records the end. Without a Celery pid the next supervisor has nothing to fence."""
        for key in ("celery_pid", "sid", "celery_start"):
            self.data.pop(key, None)
        self.state("stopped", f"exit code {code}")
        self.files.ready.unlink(missing_ok=True)
        self.files.stopping.unlink(missing_ok=True)
        self.files.health.unlink(missing_ok=True)
        self.save()
