"""`process-compose up`: look for what a crash left, check ports, prepare the state folder, then start."""

from __future__ import annotations

import json
import os
import subprocess
import time

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, NoStackError, UsageError, WindtunnelError
from windtunnel.services import state_folder
from windtunnel.settings import Settings
from windtunnel.stack import leftovers, ports
from windtunnel.stack.scale import say

#: Seconds for the preflight and the one-shots; a first migration takes a few.
ONE_SHOTS_SECONDS = 300.0
#: Between two lines of the same text.
SAY_AGAIN = 10.0


def up(settings: Settings, binary: str, arguments: list[str], *, dry_run: bool) -> int:
    """Start the stack with the real binary.

    Returns:
        With `-D` the exit code after the one-shots are through; otherwise this process becomes the real binary.

    Raises:
        WindtunnelError: the stack cannot come up; says why and what to do.
    """
    if dry_run:
        os.execv(binary, [binary, *arguments])
    if process_compose.answers(settings):
        raise WindtunnelError(
            f"this stack is running already (state folder {settings.state}): see `windtunnel status`, stop it with `process-compose down`, "
            "or start another with WINDTUNNEL_STATE and PORT_OFFSET"
        )
    if not settings.dags.is_dir():
        raise UsageError(f"there is no DAG folder {settings.dags}: create it, or set DAGS_FOLDER")
    _clear_leftovers(settings)
    state_folder.prepare(settings)
    ports.check_free(settings)
    _record(settings)
    os.environ["WINDTUNNEL_PREPARED"] = str(settings.state)
    os.chdir(settings.root)
    command = [binary, *arguments, "-L", str(settings.logs / "process-compose.log")]
    if {"-D", "--detached"}.isdisjoint(arguments):
        os.execv(binary, command)
    return _detached(settings, command)


def _clear_leftovers(settings: Settings) -> None:
    if not (found := leftovers.find(settings)):
        return
    say(f"a former stack of this state folder was not stopped; ending what it left: {leftovers.describe(found)}")
    leftovers.end_all(found)


def _record(settings: Settings) -> None:
    """Clients read this while the stack runs, so that they need no variable but WINDTUNNEL_STATE."""
    keep = ("DAGS_FOLDER", "WORKERS", "WORKER_CONCURRENCY", "WORKER_QUEUES", "WORKER_DRAIN_SECONDS", "WINDTUNNEL_PATCHES")
    environment = settings.environment()
    data = {"version": 1, "port_offset": settings.port_offset, "socket": str(settings.socket)} | {name: environment[name] for name in keep}
    data["POSTGRES_MAX_CONNECTIONS"] = str(settings.postgres_max_connections)
    state_folder.write_private(settings.stack_file, json.dumps(data, indent=1))


def _detached(settings: Settings, command: list[str]) -> int:
    start = time.monotonic()
    # stdin is closed and a session of its own: a terminal that goes away must not take the stack with it.
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if code != 0:
        raise WindtunnelError(f"process-compose ended with exit code {code}: see {settings.logs / 'process-compose.log'}")
    client = process_compose.Compose(settings)
    said, text = 0.0, ""
    while time.monotonic() - start < ONE_SHOTS_SECONDS:
        try:
            rows = {p.name: p for p in client.processes()}
        except NoStackError:
            break
        migrate = rows.get("migrate")
        if migrate is None or (migrate.status == "Completed" and migrate.exit_code == 0):
            say(f"the stack is starting (after {time.monotonic() - start:.1f} s); `windtunnel wait` returns when it is ready")
            return Exit.OK
        former, text = text, "migrating the database" if migrate.is_running else "preparing"
        if text != former or time.monotonic() - said > SAY_AGAIN:
            said = time.monotonic()
            say(f"{text} … (after {said - start:.0f} s)")
        time.sleep(0.1)
    raise WindtunnelError(f"the stack did not come up: {_reason(settings)}")


def _reason(settings: Settings) -> str:
    """The last line of the one-shot that failed."""
    for name in ("migrate", "prepare", "process-compose"):
        path = settings.logs / f"{name}.log"
        try:
            lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            continue
        if lines and path.stat().st_mtime > time.time() - ONE_SHOTS_SECONDS:
            return f"{lines[-1].removeprefix('windtunnel: ')} ({path})"
    return f"see {settings.logs}"
