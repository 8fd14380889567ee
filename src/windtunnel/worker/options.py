"""The options of one worker's supervisor: command line before environment before default."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel import settings
from windtunnel.brokers import choice
from windtunnel.errors import UsageError
from windtunnel.ledger import ledger
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.system import events, procfs
from windtunnel.variables.queue_names import queue_names


def _number(env: Mapping[str, str], name: str, default: int, low: int = 0) -> int:
    text = env.get(name, "").strip()
    try:
        value = int(text) if text else default
    except ValueError:
        value = low - 1
    if value < low:
        wanted = f"a whole number of at least {low}"
        raise UsageError(f"{name}={text!r} is not {wanted}: correct or unset it")
    return value


def _given(argv: list[str] | None) -> argparse.Namespace:
    """Raises: SystemExit(2) for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="python -m windtunnel.worker",
        description="Supervisor of one Celery worker.",
    )
    parser.add_argument(
        "--name",
        help="node name without the host (default: worker-$PC_REPLICA_NUM)",
    )
    parser.add_argument(
        "--queues",
        help="comma-separated (default: $WORKER_QUEUES, else `default`)",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        help="task slots (default: $WORKER_CONCURRENCY, else CPU count)",
    )
    return parser.parse_args(argv)


def _concurrency(env: Mapping[str, str]) -> int:
    ours = env.get("WORKER_CONCURRENCY")
    text = ours or env.get("AIRFLOW__CELERY__WORKER_CONCURRENCY") or ""
    processors = os.cpu_count() or 1
    return _number({"WORKER_CONCURRENCY": text}, "WORKER_CONCURRENCY", processors, low=1)


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

    @property
    def events(self) -> Path:
        return self.state / "logs" / events.NAME

    def stand_in(self) -> str | None:
        """Another worker of this machine that is healthy and serves one of this worker's queues."""
        for files in ledger.all_workers(self.state / "run"):
            record = ledger.read(files.supervisor)
            queues = set(record.get("queues") or [])
            if files.name == self.name or not queues & set(self.queues.split(",")):
                continue
            # A supervisor that was killed leaves its `ready` behind.
            alive = procfs.alive(ledger.number(record, "pid"), ledger.number(record, "start"))
            if alive and files.is_ready(time.time()):
                return files.name
        return None

    @classmethod
    def parse(
        cls,
        argv: list[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Options:
        """The options from a command line and an environment.

        Raises:
            UsageError: a variable has a value that cannot be used.
            SystemExit: the command line is wrong (code 2).
        """
        env = os.environ if env is None else env
        given = _given(argv)
        # These two are read below, with the messages of a worker.
        own = ("WORKER_CONCURRENCY", "WORKER_QUEUES")
        stack = settings.load({k: v for k, v in env.items() if k not in own}, client=False)
        broker = choice.of(stack)
        concurrency = given.concurrency or _concurrency(env)
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
            broker_port=int(env.get(broker.port_variable) or broker.port(stack.ports)),
            postgres_port=int(env.get("WINDTUNNEL_POSTGRES_PORT") or stack.ports.postgres),
        )
