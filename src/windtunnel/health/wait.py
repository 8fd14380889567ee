"""`windtunnel wait`: until every process is well and every worker is registered with the broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from windtunnel.clients import process_compose
from windtunnel.clients.flower import Flower
from windtunnel.errors import Exit, NoStackError, WindtunnelError
from windtunnel.health import checks
from windtunnel.settings import Settings

POLL_SECONDS = 0.4


def pending(settings: Settings, client: process_compose.Compose) -> list[str]:
    """What is not ready yet, one short text each; empty where all is well."""
    rows = {p.name: p for p in client.processes() if not p.off}
    if (migrate := rows.get("migrate")) is not None and migrate.status != "Completed":
        return ["postgres", "migrate"] if rows["prepare"].status == "Completed" else ["prepare"]
    nodes = [process_compose.node(name) for name in rows if name.startswith("worker")]
    waiting = [f"{name}: {wrong}" for name, wrong in checks.examine(settings).items() if wrong and name in rows]
    waiting += [f"{node}: {wrong}" for node in nodes if (wrong := checks.worker(settings, node))]
    said = {text.partition(":")[0] for text in waiting}
    idle = [p for p in rows.values() if not p.is_running and p.name not in ("prepare", "migrate")]
    waiting += [f"{p.name}: {p.status.lower()}" for p in idle if not {p.name, process_compose.node(p.name)} & said]
    if not waiting:
        missing = sorted(set(nodes) - Flower(settings).online())
        waiting = [f"{name}: not in Flower yet" for name in missing]
    return sorted(waiting)


def wait(settings: Settings, timeout: float, say: Callable[[str], None]) -> int:
    """Returns 0 when all is ready, 124 after `timeout` seconds; says what it waits for.

    Raises:
        NoStackError: nothing is running, or it stopped meanwhile.
    """
    start = time.monotonic()
    client = process_compose.Compose(settings)
    process_compose.require(settings)
    said, last = "", 0.0
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
            return Exit.OK
        text = ", ".join(waiting)
        if (text != said and elapsed - last > 1) or elapsed - last > 15:
            said, last = text, elapsed
            say(f"{elapsed:5.1f} s  waiting for {text}")
        if elapsed > timeout:
            print(f"windtunnel: not ready after {timeout:.0f} s: {text}. See `windtunnel status` and {settings.logs}", file=sys.stderr)
            return Exit.TIMED_OUT
        time.sleep(POLL_SECONDS)
