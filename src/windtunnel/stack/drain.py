"""`windtunnel drain`: one worker finishes what it has, takes nothing new, ends, and stays down until it is started."""

from __future__ import annotations

import time
from dataclasses import dataclass

from windtunnel.clients import process_compose
from windtunnel.errors import UsageError
from windtunnel.health import checks
from windtunnel.settings import Settings
from windtunnel.stack.scale import say


@dataclass(frozen=True)
class Drained:
    """`worker` is the Celery node, `process` process-compose's name; `clean` is false where the ceiling cut tasks off."""

    worker: str
    process: str
    clean: bool
    seconds: float


def resolve(workers: list[process_compose.Process], name: str) -> process_compose.Process:
    """The process meant by a Celery node's name or by process-compose's own. Raises `UsageError`."""
    for process in workers:
        if name in (process.name, process_compose.node(process.name)):
            return process
    known = ", ".join(sorted(process_compose.node(p.name) for p in workers))
    raise UsageError(f"there is no worker {name!r}; there are {known or 'none'}")


def drain(settings: Settings, name: str) -> Drained:
    """Drain one worker; returns when it has ended.

    Raises:
        NoStackError: nothing runs. UsageError: there is no such worker.
    """
    process_compose.require(settings)
    # No lock: two drains, or a drain beside a scaling, do not disturb each other, and neither should wait for the other's tasks.
    client = process_compose.Compose(settings)
    process = resolve([p for p in client.processes() if p.name.startswith("worker")], name)
    node = process_compose.node(process.name)
    start = time.monotonic()
    if process.is_running:
        tasks = checks.tasks_in_hand(settings, node)
        say(f"{node} drains: {tasks} {'task' if tasks == 1 else 'tasks'} in hand, {settings.worker_drain_seconds} s at most")
        client.stop(process.name)
    after = client.process(process.name)
    return Drained(node, process.name, after.exit_code == 0, time.monotonic() - start)
