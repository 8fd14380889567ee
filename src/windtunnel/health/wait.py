"""`windtunnel wait`: returns when every process is healthy and Flower lists every worker."""

from __future__ import annotations

import time
from collections.abc import Callable

from windtunnel.clients import process_compose
from windtunnel.clients.flower import Flower
from windtunnel.errors import Exit, NoStackError, WindtunnelError
from windtunnel.health import judgement, restarts
from windtunnel.settings import Settings

POLL_SECONDS = 0.4


def pending(settings: Settings, client: process_compose.Compose) -> list[str]:
    """The parts that are not ready yet, one short text each; empty when the stack is ready."""
    rows = {row.name: row for row in client.processes() if not row.off}
    migrate = rows.get("migrate")
    if migrate is not None and migrate.status != "Completed":
        return ["postgres", "migrate"] if rows["prepare"].status == "Completed" else ["prepare"]
    faults = judgement.judge(settings, rows.values())
    waiting = [
        f"{process_compose.node(name)}: {fault}{restarts.told(settings, rows[name])}"
        for name, fault in faults.items()
        if fault
    ]
    if waiting:
        return sorted(waiting)
    nodes = {process_compose.node(name) for name in rows if name.startswith("worker")}
    return [f"{node}: not in Flower yet" for node in sorted(nodes - Flower(settings).online())]


def wait(settings: Settings, timeout: float, say: Callable[[str], None]) -> None:
    """Return when the stack is ready.

    Args:
        say: called with a line that names the parts that are not ready.

    Raises:
        NoStackError: no stack is running, or it stopped meanwhile.
        WindtunnelError: with code 124, it is not ready after `timeout` seconds; names the parts.
    """
    start = time.monotonic()
    client = process_compose.Compose(settings)
    process_compose.require(settings)
    said: list[str] = []
    last = 0.0
    while True:
        try:
            waiting = pending(settings, client)
        except NoStackError:
            if not process_compose.answers(settings):
                raise
            waiting = ["flower: does not answer"]
        except WindtunnelError as error:
            waiting = [str(error)]
        elapsed = time.monotonic() - start
        if not waiting:
            say(f"ready after {elapsed:.1f} s")
            return
        text = ", ".join(waiting)
        # The count and the log of a process that restarts change all the time.
        news = [part.partition(restarts.AGAIN)[0] for part in waiting]
        pause = 15 if news == said else 1
        if elapsed - last > pause:
            said, last = news, elapsed
            say(f"{elapsed:5.1f} s  waiting for {text}")
        if elapsed > timeout:
            where = f"See `windtunnel status` and {settings.logs}"
            message = f"not ready after {timeout:.0f} s: {text}. {where}"
            raise WindtunnelError(message, Exit.TIMED_OUT)
        time.sleep(POLL_SECONDS)
