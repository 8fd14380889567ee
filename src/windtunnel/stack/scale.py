"""Change the number of workers, from any count to any count, also by two commands at the same moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from windtunnel.clients.process_compose import Compose, Process, require
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack.locks import exclusive
from windtunnel.variables import connections

MOST = 100
#: Seconds for process-compose to have each new replica running.
START_SECONDS = 60.0


def say(text: str) -> None:
    print(f"windtunnel: {text}", file=sys.stderr, flush=True)


def parse_count(text: str) -> int:
    """The number of workers meant by a word of the command line. Raises `UsageError`."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= MOST:
        raise UsageError(
            f"{text!r} is not a number of workers: give a whole number from 1 to {MOST} "
            "(to have none, `process-compose process stop` each; they return with `process start`)"
        )
    return count


def scale(settings: Settings, count: int) -> list[Process]:
    """Bring the replicas of `worker` to a count; surplus ones drain first.

    Returns:
        The workers that there are now.

    Raises:
        NoStackError: nothing runs. UsageError: PostgreSQL would refuse some of them.
        WindtunnelError: process-compose did not reach the count.
    """
    require(settings)
    with exclusive(settings, lambda: say("another command is changing this stack; waiting for it")):
        compose = Compose(settings)
        before = compose.workers()
        if not before:
            raise WindtunnelError("process-compose knows no worker: was it started with another process-compose.yaml?")
        if count > len(before):
            _require_connections(settings, count)
        if len(before) != count:
            if surplus := len(before) - count if len(before) > count else 0:
                say(
                    f"{surplus} of {len(before)} workers drain; their tasks in hand finish first, {settings.worker_drain_seconds} s at most"
                )
            # process-compose knows a replica only by its current name, which changes with the count.
            _reporting(lambda: compose.scale(before[0].name, count))
        return _settled(compose, count)


def _require_connections(settings: Settings, count: int) -> None:
    """Refused before anything starts: what the server refuses later fails tasks, not workers."""
    takes, slots = settings.postgres_max_connections, settings.worker_concurrency
    if (wants := connections.needed(count, slots)) > takes:
        raise UsageError(
            f"{count} workers of {slots} slots need {wants} connections to PostgreSQL, and this stack's takes {takes}, enough for "
            f"{connections.most_workers(takes, slots)}: `process-compose down`, set WORKERS={count} or POSTGRES_MAX_CONNECTIONS={wants}, "
            "and start again"
        )


def _reporting(call: Callable[[], None]) -> None:
    """Run a call that may take as long as the longest task, with a sign of life every 10 s."""
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
            if worker.status == "Skipped":  # never retried by process-compose itself (its issue 544)
                compose.start(worker.name)
        waiting = [w.name for w in workers if w.status in ("Pending", "Launching", "Skipped", "Restarting")]
        if len(workers) == count and not waiting:
            return workers
        if time.monotonic() > end:
            raise WindtunnelError(f"{len(workers)} workers instead of {count}; not started: {', '.join(waiting) or 'none'}")
        time.sleep(0.1)
