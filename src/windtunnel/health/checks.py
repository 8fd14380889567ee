"""Are the stack's parts alive, asked directly: for `wait`, `status` and tests, where process-compose's probes are too slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg2
import redis

from windtunnel.clients.airflow import Airflow
from windtunnel.clients.flower import Flower
from windtunnel.clients.postgres import libpq_url
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.settings import Settings

#: A worker's `ready` file is touched every few seconds while it is healthy.
READY_SECONDS = 15.0
#: Airflow's jobs write a heartbeat every 5 s.
HEARTBEAT_SECONDS = 30.0


def broker(settings: Settings) -> redis.Redis:
    """A client of the stack's Valkey with short time limits."""
    return redis.Redis.from_url(settings.secret("broker-url"), socket_timeout=2, socket_connect_timeout=2)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def valkey(settings: Settings) -> str | None:
    try:
        with broker(settings) as client:
            client.ping()
    except redis.RedisError as error:
        return f"does not answer ({_first_line(error)})"
    return None


def postgres(settings: Settings) -> str | None:
    try:
        psycopg2.connect(libpq_url(settings), connect_timeout=2).close()
    except psycopg2.Error as error:
        return f"does not answer ({_first_line(error)})"
    return None


def _heartbeats(settings: Settings) -> dict[str, str | None]:
    """What is wrong with scheduler, dag-processor and triggerer, by Airflow's own account."""
    try:
        health: dict[str, Any] = Airflow(settings, timeout=5).health()
    except WindtunnelError:
        return {}  # the API server's own row says so
    started = settings.stack_file.stat().st_mtime if settings.stack_file.exists() else 0.0
    found: dict[str, str | None] = {}
    for name in ("scheduler", "dag-processor", "triggerer"):
        row = health.get(name.replace("-", "_")) or {}
        stamp = row.get(f"latest_{name.replace('-', '_')}_heartbeat")
        at = datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
        # A heartbeat from before this `up` is a former stack's.
        if at < started:
            found[name] = "has not begun its work yet"
        elif time.time() - at > HEARTBEAT_SECONDS:
            found[name] = f"last heartbeat {time.time() - at:.0f} s ago"
        else:
            found[name] = None
    return found


def api_server(settings: Settings) -> str | None:
    try:
        airflow = Airflow(settings, timeout=5)
        # The first request builds the task-execution API, seconds of work that the first task would wait for.
        airflow.execution_api()
        database = airflow.health().get("metadatabase", {})
    except WindtunnelError:
        return "does not answer"
    return None if database.get("status") == "healthy" else "cannot reach its database"


def flower(settings: Settings) -> str | None:
    try:
        Flower(settings, timeout=5).workers()
    except WindtunnelError:
        return "does not answer"
    return None


def fresh(path_name: str, seconds: float, settings: Settings) -> bool:
    """Whether a file below run/ was touched within that many seconds."""
    try:
        return time.time() - (settings.run / path_name).stat().st_mtime < seconds
    except OSError:
        return False


def reconciler(settings: Settings) -> str | None:
    return None if fresh("reconciler/ready", 30, settings) else "shows no sign of life"


def supervisor_record(settings: Settings, node: str) -> dict[str, Any]:
    """What a worker's supervisor last wrote about itself; empty where it never ran."""
    return ledger.read(ledger.WorkerFiles(settings.run, node).supervisor)


def worker(settings: Settings, node: str) -> str | None:
    """`node` is the Celery node's name before the @."""
    if fresh(f"workers/{node}/ready", READY_SECONDS, settings):
        return None
    return str(supervisor_record(settings, node).get("state") or "starting")


CHECKS: dict[str, Callable[[Settings], str | None]] = {
    "valkey": valkey,
    "postgres": postgres,
    "api-server": api_server,
    "flower": flower,
    "reconciler": reconciler,
}


def examine(settings: Settings) -> dict[str, str | None]:
    """Every service but the workers: None where it is well, else what is wrong."""
    return {name: check(settings) for name, check in CHECKS.items()} | _heartbeats(settings)


def tasks_in_hand(settings: Settings, node: str) -> int:
    """How many tasks a worker of this machine is running, by its own ledger."""
    return len(list((settings.run / "workers" / node / "tasks").glob("*.json")))
