"""What one worker's supervisor was told: command line before environment before default."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel import settings
from windtunnel.errors import UsageError
from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.variables.queue_names import queue_names

#: A healthy worker refreshes its `ready` file every few seconds.
FRESH_SECONDS = 10.0


def _number(env: Mapping[str, str], name: str, default: int, low: int = 0) -> int:
    text = env.get(name, "").strip()
    try:
        value = int(text) if text else default
    except ValueError:
        value = low - 1
    if value < low:
        raise UsageError(f"{name}={text!r} is not a whole number of at least {low}: correct or unset it")
    return value


@dataclass(frozen=True)
class Options:
    """One worker. Sizes in bytes, times in seconds."""

    name: str
    queues: str
    concurrency: int
    drain_seconds: int
    task_memory: int
    state: Path
    broker_port: int
    postgres_port: int

    @property
    def files(self) -> WorkerFiles:
        return WorkerFiles(self.state / "run", self.name)

    def stand_in(self) -> str | None:
        """Another worker of this machine that is healthy and serves one of this one's queues."""
        for files in ledger.all_workers(self.state / "run"):
            queues = ledger.read(files.supervisor).get("queues") or []
            if files.name == self.name or not set(queues) & set(self.queues.split(",")):
                continue
            with contextlib.suppress(OSError):
                if time.time() - files.ready.stat().st_mtime < FRESH_SECONDS:
                    return files.name
        return None

    @classmethod
    def parse(cls, argv: list[str] | None = None, env: Mapping[str, str] | None = None) -> Options:
        """Raises: UsageError for a variable that cannot be used, SystemExit(2) for a wrong command line."""
        env = os.environ if env is None else env
        parser = argparse.ArgumentParser(prog="python -m windtunnel.worker", description="Supervisor of one Celery worker.")
        parser.add_argument("--name", help="node name without the host (default: worker-$PC_REPLICA_NUM)")
        parser.add_argument("--queues", help="comma-separated (default: $WORKER_QUEUES, else `default`)")
        parser.add_argument("--concurrency", type=int, help="task slots (default: $WORKER_CONCURRENCY, else CPU count)")
        given = parser.parse_args(argv)
        stack = settings.load({k: v for k, v in env.items() if k not in ("WORKER_CONCURRENCY", "WORKER_QUEUES")}, client=False)
        slots = env.get("WORKER_CONCURRENCY") or env.get("AIRFLOW__CELERY__WORKER_CONCURRENCY") or ""
        concurrency = given.concurrency or _number({"WORKER_CONCURRENCY": slots}, "WORKER_CONCURRENCY", os.cpu_count() or 1, 1)
        name = given.name or f"worker-{env.get('PC_REPLICA_NUM') or 0}"
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise UsageError(f"--name {name!r}: letters, digits, `-`, `_` and `.` only")
        source = "--queues" if given.queues else "WORKER_QUEUES"
        queues = queue_names(given.queues or env.get("WORKER_QUEUES") or "", source)
        return cls(
            name=name,
            queues=queues,
            concurrency=concurrency,
            drain_seconds=stack.worker_drain_seconds,
            task_memory=_number(env, "WORKER_TASK_MEMORY_MB", 0) * 2**20,
            state=stack.state,
            broker_port=int(env.get("WINDTUNNEL_VALKEY_PORT") or stack.ports.valkey),
            postgres_port=int(env.get("WINDTUNNEL_POSTGRES_PORT") or stack.ports.postgres),
        )
