"""`windtunnel drain`: one worker finishes its tasks, takes no new task, and ends.

It stays down until somebody starts it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from windtunnel.clients import process_compose
from windtunnel.errors import UsageError
from windtunnel.health import checks
from windtunnel.ledger import held, ledger
from windtunnel.settings import Settings
from windtunnel.stack.say import say


@dataclass(frozen=True)
class Drained:
    """A drained worker: `worker` is the Celery node, `process` the name in process-compose.

    `clean` is false when the ceiling cut tasks off.
    """

    worker: str
    process: str
    clean: bool
    seconds: float


def resolve(workers: list[process_compose.Process], name: str) -> process_compose.Process:
    """The process with this name, which is a Celery node's or process-compose's own.

    Raises:
        UsageError: there is no such worker.
    """
    for process in workers:
        if process.has_name(name):
            return process
    known = ", ".join(sorted(process_compose.node(p.name) for p in workers))
    raise UsageError(f"there is no worker {name!r}; there are {known or 'none'}")


def drain(settings: Settings, name: str) -> Drained:
    """Drain one worker; returns when it has ended.

    Raises:
        NoStackError: no stack is running.
        UsageError: there is no such worker, or it was never started.
    """
    process_compose.require(settings)
    # No lock: two drains, or a drain beside a scaling, do not disturb each other, and neither
    # should wait for the other's tasks.
    client = process_compose.Compose(settings)
    workers = [row for row in client.processes() if row.name.startswith("worker")]
    process = resolve(workers, name)
    node = process_compose.node(process.name)
    if process.status == "Disabled":
        step = f"process-compose process start {process.name}"
        raise UsageError(f"{node} is not running; start it with `{step}`")
    start = time.monotonic()
    if process.is_running:
        count = len(ledger.WorkerFiles(settings.run, node).in_hand())
        tasks = "1 task" if count == 1 else f"{count} tasks"
        say(f"{node} drains: {tasks} in hand, {settings.worker_drain_seconds} s at most")
        client.stop(process.name)
    elif process.status == "Terminating":
        say(f"{node} drains already; waiting for its end")
    row = _ended(settings, client, node)
    name = row.name if row else process.name
    return Drained(node, name, _clean(settings, node, row), time.monotonic() - start)


def _ended(
    settings: Settings,
    client: process_compose.Compose,
    node: str,
) -> process_compose.Process | None:
    """The process of a worker that has ended; None if a scale-down has removed it meanwhile.

    process-compose does not wait for a worker that another command told to stop. It renames the
    worker when the number of workers changes.
    """
    while True:
        row = next((row for row in client.processes() if row.has_name(node)), None)
        if node not in held.drains(settings) and (row is None or row.status != "Terminating"):
            return row
        time.sleep(0.2)


def _clean(settings: Settings, node: str, row: process_compose.Process | None) -> bool:
    if row is not None:
        return row.exit_code == 0
    return checks.supervisor_record(settings, node).get("detail") == "exit code 0"
