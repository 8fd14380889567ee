"""Paths, ports and names of one stack, from the environment: the only place that derives them.

This file is over 200 lines long because one stack's variables belong in one place.

Standard library only: `./dev` and the launcher load this before every command, and both may take
0.3 s. pydantic-settings alone takes two thirds of that (docs/adr/).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from windtunnel.errors import UsageError
from windtunnel.system import events, nix_store, socket_folder
from windtunnel.variables import connections, database_url, proxies
from windtunnel.variables.database_url import Database
from windtunnel.variables.queue_names import queue_names

#: The brokers by their word for BROKER, which is the name of their process too, with the ports
#: that only they open.
BROKERS: dict[str, tuple[str, ...]] = {
    "valkey": ("valkey",),
    "rabbitmq": ("amqp", "rabbitmq_management", "epmd", "erlang"),
}
#: The user of Airflow's and Flower's pages.
ADMIN = "admin"
#: process-compose's ceiling lies this many seconds above the worker supervisor's own.
DRAIN_MARGIN_SECONDS = 10
#: A checkout's state folder.
STATE = ".state"
#: The folder of another Airflow in a checkout, by its series (`AIRFLOW=3.2 ./dev`).
OTHER_AIRFLOW = ".airflow"
#: A project's state folder; a command finds the project upwards by it.
PROJECT_STATE = ".windtunnel"
#: A project's own processes, and its overrides of ours, in process-compose's format.
PROJECT_PROCESSES = "windtunnel.yaml"
#: A folder with these is a checkout, or an archive of one.
ROOT_FILES = ("process-compose.yaml", "airflow-home/airflow.cfg")
#: The record of the variables that the stack in a state folder was started with.
STACK_FILE = "stack.json"
#: A unix socket's path may have 107 bytes (unix(7), sun_path).
SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True)
class Ports:
    """TCP ports of one stack on the loopback interface, defaults plus PORT_OFFSET."""

    api: int = 8080
    flower: int = 5555
    postgres: int = 5432
    valkey: int = 6379
    scheduler_health: int = 8974
    amqp: int = 5672
    rabbitmq_management: int = 15672
    #: Erlang's port mapper, and its connections between nodes.
    epmd: int = 4369
    erlang: int = 4370

    def shifted(self, offset: int) -> Ports:
        return Ports(*(getattr(self, f.name) + offset for f in fields(self)))

    def items(self, broker: str = "valkey") -> list[tuple[str, int]]:
        """(name, port) pairs of a stack with this broker, the name as in the process list."""
        others = {n for name, names in BROKERS.items() if name != broker for n in names}
        used = [field.name for field in fields(self) if field.name not in others]
        return [(name.replace("_", "-"), getattr(self, name)) for name in used]


@dataclass(frozen=True)
class Settings:
    """One stack. Times are in seconds, paths are absolute."""

    root: Path
    state: Path
    dags: Path
    port_offset: int
    ports: Ports
    workers: int
    worker_concurrency: int
    worker_queues: str
    worker_drain_seconds: int
    broker: str
    postgres_max_connections: int
    #: all, none, names to keep, or names with a minus to leave out
    #: (windtunnel.variables.patch_switch).
    patches: str = "all"
    #: The folder of the project that the stack serves; None for the DAGs of `root`.
    project: Path | None = None
    #: PostgreSQL that somebody else runs; None for the stack's own.
    database: Database | None = None

    # -- the state folder: everything that is written at run time lies below it ------------
    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def events(self) -> Path:
        return self.logs / events.NAME

    @property
    def stack_file(self) -> Path:
        """The record of the variables that the running stack was started with."""
        return self.state / STACK_FILE

    @property
    def socket(self) -> Path:
        return socket_path(self.state)

    @property
    def compose_files(self) -> list[Path]:
        """Ours, and the project's own processes and overrides, which process-compose merges."""
        files = [self.root / "process-compose.yaml"]
        if self.project and (self.project / PROJECT_PROCESSES).is_file():
            files.append(self.project / PROJECT_PROCESSES)
        return files

    @property
    def start_command(self) -> str:
        """For messages: what a person types to start this stack."""
        # Nix installs no project's packages: its shell starts the stack of each folder alike.
        of_a_project = self.project or (outside_checkouts() and not nix_store.holds(sys.prefix))
        return "windtunnel up" if of_a_project else "process-compose up"

    @property
    def stop_command(self) -> str:
        """For messages: what a person types to stop this stack."""
        return self.start_command.replace("up", "down")

    @property
    def own_ports(self) -> list[tuple[str, int]]:
        """(name, port) of the services that the stack itself starts."""
        others = ("postgres",) if self.database else ()
        return [(name, port) for name, port in self.ports.items(self.broker) if name not in others]

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.flower}"

    def secret(self, name: str) -> str:
        """The secret's text.

        Raises:
            UsageError: the secret does not exist before the first `up`.
        """
        path = self.secrets / name
        try:
            return path.read_text()
        except OSError as error:
            step = f"start the stack once with `{self.start_command}`"
            message = f"cannot read the secret {path} ({error.strerror}): {step}"
            raise UsageError(message) from None

    def environment(self) -> dict[str, str]:
        """The variables that process-compose.yaml, airflow.cfg and our commands read."""
        project = {"WINDTUNNEL_PROJECT": str(self.project)} if self.project else {}
        few = project | proxies.bypassed(os.environ)
        if self.database:
            few |= self._outside_database()
        return few | {
            "WINDTUNNEL_ROOT": str(self.root),
            "WINDTUNNEL_STATE": str(self.state),
            "WINDTUNNEL_API_PORT": str(self.ports.api),
            "WINDTUNNEL_FLOWER_PORT": str(self.ports.flower),
            # Empty is the stack's own. The password stands in a secret.
            "WINDTUNNEL_DATABASE": self.database.public if self.database else "",
            "WINDTUNNEL_POSTGRES_PORT": str(
                self.database.port if self.database else self.ports.postgres
            ),
            "WINDTUNNEL_VALKEY_PORT": str(self.ports.valkey),
            "WINDTUNNEL_AMQP_PORT": str(self.ports.amqp),
            "WINDTUNNEL_VALKEY_OFF": str(self.broker != "valkey").lower(),
            "WINDTUNNEL_RABBITMQ_OFF": str(self.broker != "rabbitmq").lower(),
            "WINDTUNNEL_SCHEDULER_HEALTH_PORT": str(self.ports.scheduler_health),
            "WINDTUNNEL_DRAIN_CEILING": str(self.worker_drain_seconds + DRAIN_MARGIN_SECONDS),
            "PORT_OFFSET": str(self.port_offset),
            "DAGS_FOLDER": str(self.dags),
            "WORKERS": str(self.workers),
            "WORKER_CONCURRENCY": str(self.worker_concurrency),
            "WORKER_QUEUES": self.worker_queues,
            "WORKER_DRAIN_SECONDS": str(self.worker_drain_seconds),
            "BROKER": self.broker,
            "WINDTUNNEL_PATCHES": self.patches,
            "AIRFLOW_HOME": str(self.root / "airflow-home"),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "PC_SOCKET_PATH": str(self.socket),
            "PC_CONFIG_FILES": ",".join(map(str, self.compose_files)),
            "PC_DISABLE_DOTENV": "1",
            "PC_LOG_NO_COLOR": "1",
        }

    def _outside_database(self) -> dict[str, str]:
        """Airflow makes a URL for asyncpg of its own, with parameters that asyncpg refuses."""
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC_CMD": (
                """sh -c 'cat "$WINDTUNNEL_STATE/secrets/database-url-async"'"""
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": (
                "windtunnel.runtime.async_database.CONNECT_ARGS"
            ),
        }


def _integer(
    env: Mapping[str, str],
    name: str,
    default: int,
    low: int,
    high: int,
    what: str,
) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        step = f"set a whole number from {low} to {high}, or unset it"
        raise UsageError(f"{name}={text!r} is not {what}: {step}")
    return value


def _patches(text: str) -> str:
    if text.strip() in ("", "all", "none"):
        return text.strip() or "all"
    # Most commands need not load this module.
    from windtunnel.variables import patch_switch

    return patch_switch.checked(text)


def find_root(env: Mapping[str, str], start: Path | None = None) -> Path:
    """The folder with process-compose.yaml and airflow-home/airflow.cfg.

    WINDTUNNEL_ROOT, else the nearest one upwards, else this checkout. An installed windtunnel
    brings both files along.

    Raises:
        UsageError: the folder found belongs to another user, whose commands would be run.
    """
    if named := env.get("WINDTUNNEL_ROOT"):
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    package = Path(__file__).resolve().parent
    ours = package.parents[1]
    found = next((f for f in (here, *here.parents, ours) if _is_root(f)), package / "files")
    if found not in (ours, package / "files"):
        _require_ours("WINDTUNNEL_ROOT", found, found, *(found / name for name in ROOT_FILES))
    return found


def _is_root(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ROOT_FILES)


def outside_checkouts(start: Path | None = None) -> bool:
    """Whether the current folder lies in no checkout: `windtunnel up` takes it for a project."""
    here = (start or Path.cwd()).resolve()
    return not any(_is_root(folder) for folder in (here, *here.parents))


def checkout_state(env: Mapping[str, str]) -> str:
    """The state folder in a checkout: each series has one, since a migration has no way back."""
    series = env.get("WINDTUNNEL_SERIES")
    return f"{OTHER_AIRFLOW}/{series}/state" if series else STATE


def named_state(env: Mapping[str, str]) -> str:
    """WINDTUNNEL_STATE, unless a shell or a command of Nix derived it; a project comes first."""
    state = env.get("WINDTUNNEL_STATE", "")
    return "" if state == env.get("WINDTUNNEL_SHELL_STATE") else state


def find_project(env: Mapping[str, str], start: Path | None = None) -> Path | None:
    """The project whose stack is meant; None for the stack of the checkout.

    WINDTUNNEL_PROJECT, else the nearest folder upwards that has a project's state folder.
    A state folder that is named decides alone: the record in it names the project.

    Raises:
        UsageError: the folder found belongs to another user, whose programs would be run.
    """
    if named := env.get("WINDTUNNEL_PROJECT"):
        return Path(named).resolve()
    if named_state(env):
        return None
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / PROJECT_STATE).is_dir():
            _require_ours("WINDTUNNEL_PROJECT", folder, folder / PROJECT_STATE)
            return folder
        if _is_root(folder):
            return None
    return None


def _require_ours(variable: str, folder: Path, *paths: Path) -> None:
    """Refuse a folder that somebody else may have put in the way, for example into /tmp.

    Args:
        variable: names the folder, for a person who trusts it.
        folder: what was found.
        paths: what makes it one of ours.
    """
    # Root trusts the user who became root by sudo.
    trusted = {"0", str(os.geteuid())}
    if os.geteuid() == 0:
        trusted.add(os.environ.get("SUDO_UID", ""))
    for path in paths:
        if str(path.lstat().st_uid) not in trusted:
            step = f"go elsewhere, or set {variable}={folder} if you trust it"
            raise UsageError(f"{path} belongs to another user: {step}")


#: A running stack's record has these variables, beside the port offset.
RECORDED = (
    "BROKER",
    "WORKER_CONCURRENCY",
    "WORKER_DRAIN_SECONDS",
    "WORKERS",
    "WORKER_QUEUES",
    "DAGS_FOLDER",
    "POSTGRES_MAX_CONNECTIONS",
    "WINDTUNNEL_PATCHES",
    "WINDTUNNEL_PROJECT",
    "WINDTUNNEL_DATABASE",
)


def recorded(state: Path) -> dict[str, object]:
    """The record that `up` wrote about this stack; empty when it is missing or damaged."""
    try:
        data = json.loads((state / STACK_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict) or not isinstance(data.get("port_offset"), int):
        return {}
    return data if all(isinstance(data.get(name, ""), str) for name in RECORDED) else {}


def recorded_airflow(state: Path) -> str:
    """The Airflow of the stack in a state folder; empty where an older windtunnel started it."""
    return str(recorded(state).get("airflow", ""))


def is_running(state: Path) -> bool:
    """Whether a process-compose listens for this state folder.

    Raises:
        UsageError: this user may not look, so the answer is not known.
    """
    path = socket_path(state)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
        except PermissionError:
            step = "run this as the user who started the stack"
            message = f"cannot look into {path.parent} (permission denied): {step}"
            raise UsageError(message) from None
        except OSError:
            return False
        return True


def socket_path(state: Path) -> Path:
    """process-compose's socket, in the state folder or in a private folder of this user.

    A socket cannot have the path of a deep state folder.
    """
    path = state / "run" / "process-compose.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    # The record wins: a timer's job may have another XDG_CACHE_HOME than the session that ran `up`.
    known = recorded(state).get("socket")
    if isinstance(known, str) and Path(known).exists():
        return Path(known)
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:16] + ".sock"
    return socket_folder.private(SOCKET_PATH_LIMIT - len(name) - 1) / name


def load(env: Mapping[str, str] | None = None, *, client: bool = True) -> Settings:
    """Settings from the environment.

    Args:
        env: variables, `os.environ` by default.
        client: whether a running stack's recorded values apply (everything but `up`).

    Raises:
        UsageError: a variable is not usable, or contradicts the running stack.
    """
    env = os.environ if env is None else env
    root = find_root(env)
    project = find_project(env)
    state = Path(env.get("WINDTUNNEL_STATE") or root / checkout_state(env))
    if project and not named_state(env):
        state = project / PROJECT_STATE
    state = state if state.is_absolute() else Path.cwd() / state
    state = Path(os.path.normpath(state))
    offset = _integer(env, "PORT_OFFSET", 0, 0, 65535 - 8974, "a port offset")
    values: dict[str, str] = dict(env)
    if client and is_running(state):
        known = recorded(state)
        # The bare binary leaves no record; its stack has the default ports.
        record = state / STACK_FILE
        if not known and record.exists() and not env.get("PORT_OFFSET", "").strip():
            fault = f"{record} is damaged"
            effect = "the ports of the running stack are unknown"
            step = "set PORT_OFFSET to what it was started with"
            note = "`process-compose up` writes the file anew"
            raise UsageError(f"{fault}, so {effect}: {step} ({note})")
        running = int(str(known.get("port_offset", offset)))
        if env.get("PORT_OFFSET", "").strip() and offset != running:
            step = "unset it, or name another WINDTUNNEL_STATE"
            started = f"the stack of {state} was started with {running}"
            raise UsageError(f"PORT_OFFSET={offset}, but {started}: {step}")
        offset = running
        for name in RECORDED:
            if name in known:
                values[name] = str(known[name])
        # A variable of this shell says nothing about the stack that runs.
        values["DATABASE_URL"] = str(known.get("WINDTUNNEL_DATABASE", ""))
    elif env.get("WINDTUNNEL_STACK") and Path(env["WINDTUNNEL_STACK"]) == state:
        # One of the stack's own processes. A project's .env may have its own DATABASE_URL.
        # A task may also start another stack: that one's state folder is another.
        values["DATABASE_URL"] = env.get("WINDTUNNEL_DATABASE", "")
    elif client:
        # Only `up` reads it: the variable of a shell may mean any program's database.
        values["DATABASE_URL"] = str(recorded(state).get("WINDTUNNEL_DATABASE", ""))
    broker = values.get("BROKER") or "valkey"
    if broker not in BROKERS:
        step = f"set one of {', '.join(BROKERS)}, or unset it"
        raise UsageError(f"BROKER={broker!r} is not a broker of this project: {step}")
    if client and project is None:
        # Also of a stack that has ended: a shell beside it means the same project.
        values.setdefault("WINDTUNNEL_PROJECT", str(recorded(state).get("WINDTUNNEL_PROJECT", "")))
    if project is None and values.get("WINDTUNNEL_PROJECT"):
        project = Path(values["WINDTUNNEL_PROJECT"])
    dags = Path(values.get("DAGS_FOLDER") or (project or root) / "dags")
    for ceiling in ("WORKER_TASK_MEMORY_MB", "WORKER_MAX_TASKS_PER_CHILD"):
        _integer(values, ceiling, 0, 0, 2**31, "a ceiling (0 for none)")
    workers = _integer(values, "WORKERS", 1, 1, 100, "a number of workers")
    cores = os.cpu_count() or 1
    slots = _integer(values, "WORKER_CONCURRENCY", cores, 1, 1000, "a number of task slots")
    drain = _integer(values, "WORKER_DRAIN_SECONDS", 600, 1, 604800, "a number of seconds")
    return Settings(
        root=root,
        state=state,
        dags=dags if dags.is_absolute() else Path.cwd() / dags,
        port_offset=offset,
        ports=Ports().shifted(offset),
        workers=workers,
        worker_concurrency=slots,
        worker_queues=queue_names(values.get("WORKER_QUEUES") or "", "WORKER_QUEUES"),
        worker_drain_seconds=drain,
        broker=broker,
        postgres_max_connections=_integer(
            values,
            "POSTGRES_MAX_CONNECTIONS",
            connections.default(workers, slots),
            connections.needed(workers, slots),
            connections.MOST,
            f"a number of connections that {workers} workers of {slots} slots fit into",
        ),
        patches=_patches(values.get("WINDTUNNEL_PATCHES", "")),
        project=project,
        database=database_url.parse(values.get("DATABASE_URL", "")),
    )
