"""The rows of `windtunnel status`: processes, workers and queues, with their memory and tasks."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from windtunnel.brokers import choice
from windtunnel.brokers.interface import BrokerAway
from windtunnel.clients import process_compose
from windtunnel.clients.flower import Flower
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.ledger import held, ledger
from windtunnel.settings import Settings

MIB = 1024 * 1024
#: These queues have a row also while they are empty.
QUEUES = frozenset({"default", "heavy"})


@dataclass
class ProcessRow:
    """One process of process-compose.

    `memory_mib` is the sum of the proportional set sizes of the process and its descendants.
    """

    name: str
    status: str
    well: bool
    pid: int
    restarts: int
    memory_mib: float
    wrong: str | None


@dataclass
class WorkerRow:
    """One worker.

    `node` is the Celery node before the @, `load` the number of tasks in hand.
    `process` is empty for a surplus worker of a scale-down, which process-compose no longer lists.
    `last_incident_time` is in seconds since the epoch.
    """

    node: str
    process: str
    state: str
    online: bool
    queues: list[str]
    concurrency: int | None
    load: int
    memory_mib: float
    restarts: int
    last_incident: str | None
    last_incident_time: float | None

    @property
    def drains(self) -> bool:
        """Whether it takes no task because somebody told it to end."""
        return self.state.startswith(held.DRAINING)


def memory(pid: int) -> float:
    """MiB of a process tree: proportional set size, or resident set size where that is hidden."""
    total = 0
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except (psutil.AccessDenied, AttributeError):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        except psutil.Error:
            continue
    return round(total / MIB, 1)


def process_rows(
    rows: list[process_compose.Process],
    faults: dict[str, str | None],
) -> list[ProcessRow]:
    """A row for each process; `faults` is the result of `judgement.judge`."""
    table = []
    for row in rows:
        wrong = faults[row.name]
        pid = row.pid if row.is_running or row.status == "Terminating" else 0
        table.append(
            ProcessRow(
                name=row.name,
                status=row.status,
                well=not wrong,
                pid=pid,
                restarts=row.restarts,
                memory_mib=memory(pid) if pid else 0.0,
                wrong=wrong,
            ),
        )
    return table


def worker_rows(settings: Settings, rows: list[ProcessRow]) -> list[WorkerRow]:
    """A row for each process that is a worker, and for each other worker that drains."""
    try:
        online = Flower(settings, timeout=5).online()
    except WindtunnelError:
        online = set()
    workers = []
    for row in rows:
        if row.name.startswith("worker"):
            node = process_compose.node(row.name)
            state = "healthy" if row.well else str(row.wrong)
            workers.append(_worker_row(settings, node, row.name, state, row.memory_mib, online))
    listed = {worker.node for worker in workers}
    for surplus in held.workers(settings):
        if surplus.drain and surplus.name not in listed:
            pid, _ = surplus.is_("supervisor")
            workers.append(
                _worker_row(settings, surplus.name, "", surplus.drain, memory(pid), online)
            )
    return workers


def _worker_row(
    settings: Settings,
    node: str,
    process: str,
    state: str,
    memory_mib: float,
    online: set[str],
) -> WorkerRow:
    record = checks.supervisor_record(settings, node)
    incident = record.get("last_incident") or {}
    return WorkerRow(
        node=node,
        process=process,
        state=state,
        online=node in online,
        queues=[str(queue) for queue in record.get("queues") or []],
        concurrency=record.get("concurrency"),
        load=len(ledger.WorkerFiles(settings.run, node).in_hand()),
        memory_mib=memory_mib,
        restarts=int(record.get("restarts") or 0),
        last_incident=incident.get("text"),
        last_incident_time=incident.get("time"),
    )


def queue_depths(settings: Settings) -> tuple[dict[str, int], int | None]:
    """The number of waiting messages by queue, and the number of unacknowledged messages.

    No queue and None while the broker does not answer.
    """
    try:
        found = choice.of(settings).depths(settings, QUEUES)
    except BrokerAway:
        return {}, None
    return found.waiting, found.unacknowledged
