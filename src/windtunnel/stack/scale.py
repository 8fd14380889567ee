"""Sets the number of workers, also when two commands do so at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from windtunnel.clients.process_compose import Compose, Process, require
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack.locks import exclusive
from windtunnel.stack.say import say
from windtunnel.variables import connections

MOST = 100
#: process-compose has this time to start the new replicas.
START_SECONDS = 60.0
#: States in process-compose of a replica that does not run yet.
NOT_STARTED = ("Pending", "Launching", "Skipped", "Restarting")


def parse_count(text: str) -> int:
    """The number of workers in a word of the command line.

    Raises:
        UsageError: the word is no number, or the number is out of range.
    """
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= MOST:
        step = f"give a whole number from 1 to {MOST}"
        none = "to have none, stop each worker with `process-compose process stop`"
        raise UsageError(f"{text!r} is not a number of workers: {step} ({none})")
    return count


def scale(settings: Settings, count: int) -> list[Process]:
    """Bring the replicas of `worker` to a count; surplus workers drain first.

    Returns:
        The workers after the change.

    Raises:
        NoStackError: no stack is running.
        UsageError: PostgreSQL has too few connections for so many workers.
        WindtunnelError: process-compose did not reach the count.
    """
    require(settings)
    with exclusive(settings, lambda: say("another command is changing this stack; waiting for it")):
        compose = Compose(settings)
        before = compose.workers()
        if not before:
            step = "start the stack with this project's process-compose.yaml"
            raise WindtunnelError(f"this stack has no process named worker: {step}")
        if count > len(before) and settings.database is None:
            _require_connections(settings, count)
        if count < len(before):
            ceiling = f"{settings.worker_drain_seconds} s at most"
            surplus = f"{len(before) - count} of {len(before)} workers drain"
            say(f"{surplus}; their tasks in hand finish first, {ceiling}")
        if count != len(before):
            # process-compose knows a replica by its current name, which changes with the count.
            _reporting(lambda: compose.scale(before[0].name, count))
        return _settled(compose, count)


def _require_connections(settings: Settings, count: int) -> None:
    """Refuse before anything starts: a connection that PostgreSQL refuses later fails a task.

    Raises:
        UsageError: PostgreSQL takes too few connections.
    """
    limit = settings.postgres_max_connections
    slots = settings.worker_concurrency
    needed = connections.needed(count, slots)
    if needed <= limit:
        return
    demand = f"{count} workers of {slots} slots need {needed} connections to PostgreSQL"
    supply = f"this stack's takes {limit}, enough for {connections.most_workers(limit, slots)}"
    variables = f"WORKERS={count} or POSTGRES_MAX_CONNECTIONS={needed}"
    step = f"`{settings.stop_command}`, set {variables}, and start again"
    raise UsageError(f"{demand}, and {supply}: {step}")


def _reporting(call: Callable[[], None]) -> None:
    """Run a call that may take as long as the longest task, and print a line every 10 s."""
    done = threading.Event()
    start = time.monotonic()

    def report() -> None:
        while not done.wait(10):
            say(f"still draining after {time.monotonic() - start:.0f} s")

    threading.Thread(target=report, daemon=True).start()
    try:
        call()
    finally:
        done.set()


def _settled(compose: Compose, count: int) -> list[Process]:
    end = time.monotonic() + START_SECONDS
    while True:
        workers = compose.workers()
        for worker in workers:
            # process-compose itself never starts a skipped process again.
            if worker.status == "Skipped":
                compose.start(worker.name)
        waiting = [worker.name for worker in workers if worker.status in NOT_STARTED]
        if len(workers) == count and not waiting:
            return workers
        if time.monotonic() > end:
            names = ", ".join(waiting) or "none"
            raise WindtunnelError(
                f"{len(workers)} workers instead of {count}; not started: {names}",
            )
        time.sleep(0.1)
