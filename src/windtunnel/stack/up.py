"""`process-compose up`: ends what a crash left, prepares the state folder, checks ports, starts."""

from __future__ import annotations

import json
import os
import subprocess
import time

from windtunnel.brokers import choice
from windtunnel.clients import process_compose
from windtunnel.errors import Exit, NoStackError, UsageError, WindtunnelError
from windtunnel.ledger import temporary
from windtunnel.project import versions
from windtunnel.services import state_folder
from windtunnel.settings import RECORDED, Settings, recorded
from windtunnel.stack import failed_start, leftovers, ports, programs
from windtunnel.stack.locks import starting
from windtunnel.stack.say import say
from windtunnel.system import procfs
from windtunnel.system.waiting import wait_for
from windtunnel.variables import connections, database_url
from windtunnel.variables.database_url import Database

#: The preparation and the migration have this time; a first migration takes a few seconds.
ONE_SHOTS_SECONDS = 300.0
#: A process-compose that is ending has this time.
GOING_SECONDS = 5.0
#: Seconds between two lines of the same text.
SAY_AGAIN = 10.0


def up(settings: Settings, binary: str, arguments: list[str], *, dry_run: bool) -> float:
    """Start the stack with the real binary.

    Returns:
        With `-D` the moment of the start (monotonic), for `migrated`; otherwise the real binary
        replaces this process.

    Raises:
        WindtunnelError: the stack cannot come up; the message has the cause and the next step.
    """
    if dry_run:
        os.execv(binary, [binary, *arguments])
    require_dags(settings)
    programs.bring()
    state_folder.folders(settings)
    with starting(settings):
        _prepare(settings)
        command = [binary, *arguments, "-L", str(settings.logs / "process-compose.log")]
        if {"-D", "--detached"}.isdisjoint(arguments):
            os.execv(binary, command)
        start = time.monotonic()
        # Without standard input: a terminal that is closed must not end the stack. Its one line of
        # output names its own commands, and ours below names the next step.
        quiet = subprocess.DEVNULL
        code = subprocess.run(command, stdin=quiet, stdout=quiet, check=False).returncode
    if code != 0:
        log = settings.logs / "process-compose.log"
        raise WindtunnelError(f"process-compose ended with exit code {code}: see {log}")
    return start


def require_dags(settings: Settings) -> None:
    """Raises `UsageError` where the DAG folder is missing."""
    if not settings.dags.is_dir():
        step = "create it, or set DAGS_FOLDER"
        raise UsageError(f"there is no DAG folder {settings.dags}: {step}")


def require_paths(settings: Settings) -> None:
    """Raises `UsageError` for a path that PATH or process-compose would split."""
    for path in (settings.project or settings.root, settings.state):
        if not set(":,\n").isdisjoint(str(path)):
            fault = (
                f"a stack cannot use the path {str(path)!r}: it has a colon, comma or line break"
            )
            raise UsageError(f"{fault}, which separate paths: give the folder another name")


def _prepare(settings: Settings) -> None:
    """Everything before process-compose starts.

    Raises:
        WindtunnelError: a stack of this state folder runs, or this one cannot start.
    """
    if process_compose.answers(settings):
        raise running_already(settings)
    _refuse_without_socket(settings)
    _clear_leftovers(settings)
    choice.of(settings).require(settings)
    # First: a refused `up` makes no secrets and no database.
    ports.check_free(settings)
    if settings.database:
        _look_at(settings.database, settings)
    elif former := recorded(settings.state).get("WINDTUNNEL_DATABASE"):
        where = str(former).rpartition("@")[2]
        unset = f"{database_url.VARIABLE} is not set"
        say(f"the last stack here used the database {where}; {unset}, so this one has its own")
    state_folder.prepare(settings)
    # It stands in a secret by now, and must not stand in the environment of every process.
    os.environ.pop(database_url.VARIABLE, None)
    _record(settings)
    os.environ["WINDTUNNEL_PREPARED"] = str(settings.state)
    os.chdir(settings.root)


def _look_at(database: Database, settings: Settings) -> None:
    from windtunnel.services import outside_database

    needed = connections.needed(settings.workers, settings.worker_concurrency)
    again = recorded(settings.state).get("WINDTUNNEL_DATABASE") == database.public
    for warning in outside_database.check(database, needed, say, again=again):
        say(f"warning: {warning}")
    say(f"the database is {database.name} ({database_url.VARIABLE})")


def running_already(settings: Settings) -> WindtunnelError:
    """The refusal of a second `up`; a stopped stack is named by what lets it go on."""
    process_compose.require(settings)
    fault = f"this stack is running already (state folder {settings.state})"
    if settings.project:
        step = "see `windtunnel status`, or stop it with `windtunnel down`"
        return WindtunnelError(f"{fault}, and it has all changes of the project: {step}")
    stop = f"see `windtunnel status`, stop it with `{settings.stop_command}`"
    other = "start another with WINDTUNNEL_STATE and PORT_OFFSET"
    return WindtunnelError(f"{fault}: {stop}, or {other}")


def _refuse_without_socket(settings: Settings) -> None:
    """A living process-compose is no crash: its tasks must not be killed."""
    server = leftovers.supervisor(settings)
    if server is None:
        return
    # One that ends closes its socket a moment before, and one that starts opens it a moment later.

    def is_decided() -> bool:
        return process_compose.answers(settings) or not procfs.alive(server.pid, server.start)

    if not wait_for(is_decided, GOING_SECONDS, 0.05):
        fault = f"this stack runs (process-compose {server.pid}), but its socket is gone"
        raise WindtunnelError(f"{fault}: stop it with `{settings.stop_command}`")
    if process_compose.answers(settings):
        raise running_already(settings)


def _clear_leftovers(settings: Settings) -> None:
    found = leftovers.find(settings)
    if found:
        left = leftovers.describe(found)
        say(f"a former stack of this state folder was not stopped; ending what it left: {left}")
        leftovers.end_all(found)
    temporary.remove_all(settings.run)


def _record(settings: Settings) -> None:
    """Write the file that clients read while the stack runs.

    So they need no variable but WINDTUNNEL_STATE.
    """
    environment = settings.environment()
    data: dict[str, object] = {
        "version": 1,
        "port_offset": settings.port_offset,
        "socket": str(settings.socket),
        "airflow": versions.running(),
    }
    data |= {name: environment[name] for name in RECORDED if name in environment}
    data["POSTGRES_MAX_CONNECTIONS"] = str(settings.postgres_max_connections)
    state_folder.write_private(settings.stack_file, json.dumps(data, indent=1))


def migrated(settings: Settings, start: float) -> int:
    """Wait for the end of the migration, the last step that can fail for good.

    Args:
        start: what `up` returned.
    """
    client = process_compose.Compose(settings)
    said = 0.0
    former = ""
    while time.monotonic() - start < ONE_SHOTS_SECONDS:
        try:
            rows = {p.name: p for p in client.processes()}
        except NoStackError:
            break
        migrate = rows.get("migrate")
        if migrate is None or (migrate.status == "Completed" and migrate.exit_code == 0):
            took = time.monotonic() - start
            next_step = "`windtunnel wait` returns when it is ready"
            say(f"the stack is starting (after {took:.1f} s); {next_step}")
            return Exit.OK
        text = "migrating the database" if migrate.is_running else "preparing"
        if text != former or time.monotonic() - said > SAY_AGAIN:
            former = text
            said = time.monotonic()
            say(f"{text} … (after {said - start:.0f} s)")
        time.sleep(0.1)
    why = failed_start.reason(settings, ONE_SHOTS_SECONDS)
    raise WindtunnelError(f"the stack did not come up: {why}")
