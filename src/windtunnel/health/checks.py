"""Asks each part of the stack whether it works.

process-compose's own probes run too seldom for `wait`, `status` and the tests.
A check returns None for a healthy part, else its fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2

from windtunnel.brokers import choice, valkey
from windtunnel.clients.airflow import Airflow, moment
from windtunnel.clients.flower import Flower
from windtunnel.clients.postgres import libpq_url, pooled
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.settings import Settings

if TYPE_CHECKING:
    import redis

#: The reconciler touches its `ready` file in each round.
#: The probe in process-compose.yaml has the same number.
RECONCILER_READY_SECONDS = 30.0
#: Airflow's jobs write a heartbeat every 5 s.
HEARTBEAT_SECONDS = 30.0
#: The processes whose heartbeats Airflow reports.
JOBS = ("scheduler", "dag-processor", "triggerer")


def now() -> float:
    """The time of day of the stack's processes."""
    return time.time()


def broker(settings: Settings) -> redis.Redis:
    """A client of the stack's Valkey, for benchmarks and tests; it gives up after 2 s."""
    return valkey.client(settings.secret("broker-url"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def postgres(settings: Settings) -> str | None:
    try:
        psycopg2.connect(libpq_url(settings), connect_timeout=2).close()
    except psycopg2.Error as error:
        return f"does not answer ({_first_line(error)})"
    return None


def outside_database(settings: Settings) -> str | None:
    """Where the database of another service is, and whether it notifies; None for the stack's own.

    A pooler passes no notification on, so Airflow then polls (services/database_notify.py).
    """
    if settings.database is None:
        return None
    text = f"{settings.database.name}, of another service"
    try:
        with closing(psycopg2.connect(libpq_url(settings), connect_timeout=2)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (pid,) = cursor.fetchone() or (0,)
            if pooled(connection, pid):
                return f"{text}; a connection pooler stands before it, so Airflow polls for work"
    except psycopg2.Error:
        return text  # the row of the process has the fault
    return text


def _heartbeats(settings: Settings) -> dict[str, str | None]:
    """The faults of scheduler, dag-processor and triggerer, by the heartbeats in Airflow's API."""
    try:
        health: dict[str, Any] = Airflow(settings, timeout=5).health()
    except WindtunnelError:
        return {}  # the check of the API server reports this
    started = settings.stack_file.stat().st_mtime if settings.stack_file.exists() else 0.0
    found: dict[str, str | None] = {}
    for name in JOBS:
        key = name.replace("-", "_")
        timestamp = (health.get(key) or {}).get(f"latest_{key}_heartbeat")
        heartbeat = moment(timestamp) or 0.0
        age = now() - heartbeat
        # A heartbeat from before this `up` belongs to a former stack. That cannot be known if the
        # clock has stepped back behind this `up`.
        if heartbeat < started <= now():
            found[name] = "has sent no heartbeat since the stack started"
        elif age > HEARTBEAT_SECONDS:
            found[name] = f"last heartbeat {age:.0f} s ago"
        elif age < -HEARTBEAT_SECONDS:
            found[name] = f"has sent no heartbeat since the clock stepped back by {-age:.0f} s"
        else:
            found[name] = None
    return found


def api_server(settings: Settings) -> str | None:
    try:
        airflow = Airflow(settings, timeout=5)
        # The first request builds the task-execution API. That takes seconds, and the first task
        # would wait for it.
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


def reconciler(settings: Settings) -> str | None:
    ready = settings.run / "reconciler" / "ready"
    well = ledger.fresh(ready, RECONCILER_READY_SECONDS, now())
    return None if well else "shows no sign of life"


def supervisor_record(settings: Settings, node: str) -> dict[str, Any]:
    """The last record of a worker's supervisor; empty when it never ran."""
    return ledger.read(ledger.WorkerFiles(settings.run, node).supervisor)


def worker(settings: Settings, node: str) -> str | None:
    """The fault of one worker; `node` is the Celery node's name before the @."""
    if ledger.WorkerFiles(settings.run, node).is_ready(now()):
        return None
    return str(supervisor_record(settings, node).get("state") or "starting")


CHECKS: dict[str, Callable[[Settings], str | None]] = {
    "postgres": postgres,
    "api-server": api_server,
    "flower": flower,
    "reconciler": reconciler,
}


def examine(settings: Settings) -> dict[str, str | None]:
    """The fault of every service, None for a healthy one. Workers are not among them."""
    kind = choice.of(settings)
    found = {kind.name: kind.fault(settings)}
    found |= {name: check(settings) for name, check in CHECKS.items()}
    return found | _heartbeats(settings)


def check_of(settings: Settings, name: str) -> Callable[[Settings], str | None] | None:
    """The check of one service. The broker has the name of its process; None for Airflow's jobs."""
    kind = choice.of(settings)
    return kind.fault if name == kind.name else CHECKS.get(name)


def service(settings: Settings, name: str) -> str | None:
    """The fault of one service or job; None for a healthy one."""
    check = check_of(settings, name)
    return examine(settings)[name] if check is None else check(settings)
