"""Tasks that died with their worker: fence, tell the task's log, then tell the reconciler by way of the broker."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windtunnel import ledger
from windtunnel.fence import Generation, fence

#: Hash on the broker: Celery task id -> JSON of what is known. The reconciler reads and deletes its fields.
LOST_KEY = "windtunnel:lost"
RETRY_SECONDS = 2.0


def tell_log(entry: Mapping[str, Any], text: str, level: str = "critical") -> None:
    """Appends a line to the task's own log, in Airflow 3's format (one JSON object a line), so that the UI shows it."""
    path = entry.get("log")
    if not path or not Path(str(path)).parent.is_dir():
        return
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line = json.dumps({"timestamp": stamp, "level": level, "event": text, "logger": "windtunnel.worker"})
    try:
        with open(str(path), "ab") as file:
            file.write(line.encode() + b"\n")
    except OSError:
        pass  # the supervisor's log has it too


class Lost:
    """Nothing is reported before it is fenced; nothing is forgotten before the broker has it."""

    def __init__(self, files: ledger.WorkerFiles, state: Path, say: Callable[[str], None]) -> None:
        self.files = files
        self.state = state
        self.say = say
        self.next_try = 0.0

    def fence_and_note(self, generation: Generation | None, owner: int | None, why: str, reap: Callable[[], object]) -> None:
        """Kills what is left of a generation, for as long as it takes, and takes over its tasks."""
        while True:
            try:
                killed = fence(self.files.name, str(self.state), generation, owner, reap)
                break
            except RuntimeError as error:
                self.say(f"{error}; no new Celery is started before they are gone")
                time.sleep(RETRY_SECONDS)
        if killed:
            self.say(f"ended {len(killed)} process(es) left behind, pid {', '.join(map(str, killed))} ({why})")
        for task_id, entry in self.files.in_hand().items():
            self.note(task_id, entry, why)

    def note(self, task_id: str, entry: Mapping[str, Any], why: str) -> None:
        """From now on the task counts as lost."""
        text = f"{self.files.name} lost this task: {why}. Its processes were ended; it is retried or failed by its retry policy."
        tell_log(entry, text)
        self.say(f"lost {ledger.describe(task_id, entry)}: {why}")
        with contextlib.suppress(FileNotFoundError):
            self.files.task(task_id).replace(self.files.lost / f"{task_id}.json")
        self.next_try = 0.0

    def send_if_due(self, now: float) -> None:
        if now >= self.next_try:
            self.next_try = now + RETRY_SECONDS
            if (waiting := self.files.given_up()) and self._send(waiting):
                self.say(f"reported {len(waiting)} lost task(s) to the reconciler")

    def send(self, until: float) -> None:
        """Tries until a moment (monotonic); what stays is sent by the next supervisor of this name or by the reconciler."""
        while (waiting := self.files.given_up()) and not self._send(waiting) and time.monotonic() < until:
            time.sleep(0.5)

    def _send(self, waiting: Mapping[str, Mapping[str, Any]]) -> bool:
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # Where hosts have names of their own, Airflow books a task under the host's, not the worker's.
        who = {"worker": self.files.name, "hostname": socket.getfqdn(), "noted": time.time()}
        news = {key: json.dumps({**entry, **who}) for key, entry in waiting.items()}
        try:
            url = (self.state / "secrets" / "broker-url").read_text().strip()
            with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)) as broker:
                broker.hset(LOST_KEY, mapping=news)
        except (OSError, RedisError):
            return False
        for key in waiting:
            (self.files.lost / f"{key}.json").unlink(missing_ok=True)
        return True
