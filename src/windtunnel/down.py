"""`process-compose down`: drain, stop everything, leave nothing."""

from __future__ import annotations

import os
import subprocess
import time

from windtunnel import compose, leftovers
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.locks import exclusive
from windtunnel.scale import say
from windtunnel.settings import Settings


def down(settings: Settings, binary: str, arguments: list[str]) -> int:
    """Stop the stack and wait until it is gone. A second call is harmless.

    Raises:
        WindtunnelError: a process could not be ended.
    """
    if not compose.answers(settings):
        say(f"no stack is running (state folder {settings.state})")
        return _sweep(settings)
    with exclusive(settings, lambda: say("another command is changing this stack; waiting for it")):
        client = compose.Compose(settings)
        start = said = time.monotonic()
        log = str(settings.logs / "process-compose-client.log")
        # This stack's socket, whatever the caller's environment says.
        stopping = subprocess.Popen([binary, *arguments, "-L", log], env={**os.environ, **settings.environment()})
        while stopping.poll() is None:
            if time.monotonic() - said > 5:
                said = time.monotonic()
                say(f"stopping for {said - start:.0f} s; still there: {_remaining(client)}")
            time.sleep(0.05)
        if stopping.returncode:
            raise WindtunnelError(f"process-compose could not be told to stop (exit code {stopping.returncode}): see {log}")
        while compose.answers(settings) and time.monotonic() - start < settings.worker_drain_seconds + 120:
            time.sleep(0.05)
    return _sweep(settings)


def _remaining(client: compose.Compose) -> str:
    try:
        names = [p.name for p in client.processes() if p.is_running or p.status == "Terminating"]
    except WindtunnelError:
        return "nothing but process-compose itself"
    return ", ".join(names) or "nothing but process-compose itself"


def _sweep(settings: Settings) -> int:
    if found := leftovers.find(settings):
        say(f"ending what was left: {leftovers.describe(found)}")
        leftovers.end_all(found)
    return Exit.OK
