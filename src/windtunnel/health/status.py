"""`windtunnel status`: every process and worker, the queues, what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil
import redis

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow
from windtunnel.clients.flower import Flower
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.ledger import ledger
from windtunnel.ledger.survivors import Survivors
from windtunnel.settings import Settings
from windtunnel.system import disk

ONE_SHOTS = ("prepare", "migrate")
MIB = 1024 * 1024
#: Under load Airflow's own processes take that long to answer.
STARTING_NANOSECONDS = 60 * 10**9


@dataclass(frozen=True)
class Problem:
    """What is wrong, in which part, and the command that helps."""

    part: str
    what: str
    do: str


@dataclass
class ProcessRow:
    """Memory is the sum of the proportional set sizes of the process and its descendants, in MiB."""

    name: str
    status: str
    well: bool
    pid: int
    restarts: int
    memory_mib: float
    wrong: str | None


@dataclass
class WorkerRow:
    """`node` is the Celery node before the @, `load` the tasks in hand, `last_incident_time` seconds since the epoch."""

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


@dataclass
class Status:
    """All of it; `state` is healthy or degraded."""

    state: str
    processes: list[ProcessRow]
    workers: list[WorkerRow]
    queues: dict[str, int]
    unacknowledged: int | None
    import_errors: list[dict[str, str]]
    problems: list[Problem]
    urls: dict[str, str]
    passwords: dict[str, str]
    #: process -> patch -> what became of it (`windtunnel.patches.registry.Outcome`).
    patches: dict[str, dict[str, dict[str, str]]]
    version: int = field(default=1)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def memory(pid: int) -> float:
    """MiB of a process tree: proportional set size where we may read it, else resident set size."""
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


#: What a worker cannot work without: while one of them is away, that is the one to mend.
NEEDED = ("valkey", "postgres", "api-server")


def _advice(settings: Settings, row: process_compose.Process, also_wrong: set[str], stopping: bool) -> str:
    log = settings.logs / f"{process_compose.node(row.name)}.log"
    if row.status == "Terminating":
        return "it is being stopped; nothing to do"
    if row.status == "Restarting":
        return f"it is started again by itself; if it keeps failing, see {log}"
    if disk.room(settings.state).full:
        return "it goes on by itself once the disk has room"
    if not row.is_running and stopping:
        return f"it was stopped, as others are now; if they stay, afterwards: process-compose process start {row.name}"
    if not row.is_running:
        return f"process-compose process start {row.name}"
    if row.name not in NEEDED and (away := [name for name in NEEDED if name in also_wrong]):
        return f"it recovers by itself when {' and '.join(away)} is back"
    if row.name.startswith("worker"):
        return f"its supervisor mends it by itself; if it does not, see {log}"
    if row.age < STARTING_NANOSECONDS:
        return f"it has just been started; if it does not come up, see {log}"
    return f"process-compose process restart {row.name}"


def _processes(
    settings: Settings, rows: list[process_compose.Process], wrongs: dict[str, str | None]
) -> tuple[list[ProcessRow], list[Problem]]:
    table, problems = [], []
    stopping = any(row.status == "Terminating" for row in rows)
    also_wrong = {row.name for row in rows if wrongs.get(row.name) or not row.is_running}
    for row in rows:
        if row.off:
            continue
        wrong = wrongs.get(row.name)
        if row.name in ONE_SHOTS:
            wrong = None if row.status == "Completed" and row.exit_code == 0 else f"{row.status.lower()}, exit code {row.exit_code}"
        elif row.name.startswith("worker"):
            wrong = checks.worker(settings, process_compose.node(row.name))
        if row.name not in ONE_SHOTS and not row.is_running:
            wrong = f"not running ({row.status.lower()})"
        if wrong:
            problems.append(Problem(row.name, wrong, _advice(settings, row, also_wrong, stopping)))
        pid = row.pid if row.is_running else 0
        table.append(ProcessRow(row.name, row.status, not wrong, pid, row.restarts, memory(pid) if pid else 0.0, wrong))
    return table, problems


def _workers(settings: Settings, rows: list[ProcessRow]) -> list[WorkerRow]:
    try:
        online = Flower(settings, timeout=5).online()
    except WindtunnelError:
        online = set()
    found = []
    for row in rows:
        if not row.name.startswith("worker"):
            continue
        node = process_compose.node(row.name)
        record = checks.supervisor_record(settings, node)
        incident = record.get("last_incident") or {}
        found.append(
            WorkerRow(
                node=node,
                process=row.name,
                state=("healthy" if row.well else str(row.wrong)),
                online=node in online,
                queues=[str(queue) for queue in record.get("queues") or []],
                concurrency=record.get("concurrency"),
                load=checks.tasks_in_hand(settings, node),
                memory_mib=row.memory_mib,
                restarts=int(record.get("restarts") or 0),
                last_incident=incident.get("text"),
                last_incident_time=incident.get("time"),
            )
        )
    return found


def _queues(settings: Settings) -> tuple[dict[str, int], int | None]:
    """Waiting messages by queue, and how many are held by workers; None where the broker is away."""
    try:
        with checks.broker(settings) as broker:
            names = {key.decode() for key in broker.scan_iter(count=1000, _type="list")} | {"default", "heavy"}
            depths = {name: int(broker.llen(name)) for name in sorted(names) if not name.endswith(".pidbox")}
            return depths, int(broker.hlen("unacked"))
    except redis.RedisError:
        return {}, None


def _queue_problems(queues: dict[str, int], workers: list[WorkerRow]) -> list[Problem]:
    served = {queue for worker in workers if worker.state == "healthy" for queue in worker.queues}
    problems = []
    for name, depth in queues.items():
        if depth and name not in served:
            do = "process-compose process start worker-heavy" if name == "heavy" else f"start a worker with WORKER_QUEUES={name}"
            problems.append(Problem(name, f"{depth} tasks wait for the queue {name!r} and no healthy worker serves it", do))
    return problems


def _skew_problems(settings: Settings) -> list[Problem]:
    """Workers that found themselves to differ from the scheduler's host and have not been stopped since."""
    return [
        Problem(files.name, text, "install the same versions and the same DAG files on both hosts, then restart the worker")
        for files in ledger.all_workers(settings.run)
        if checks.supervisor_record(settings, files.name).get("state") != "stopped"
        for text in files.skewed()
    ]


def survivor_problems(settings: Settings) -> list[Problem]:
    """Processes that a worker could not end; those that have ended since are no problem."""
    problems = []
    for files in ledger.all_workers(settings.run):
        survivors = Survivors.written(ledger.read(files.supervisor))
        survivors.refresh()
        for entry in survivors.entries:
            held = f"; {len(entry['tasks'])} task(s) wait for its end" if entry["tasks"] else ""
            problems.append(Problem(files.name, f"cannot end {entry['text']}{held}", f"sudo kill -9 {entry['pid']}"))
    return problems


def _disk_problems(settings: Settings) -> list[Problem]:
    """First of all: a full disk is the cause of whatever else is wrong."""
    wrong = disk.problem(settings.state)
    return [Problem("disk", wrong, disk.REMEDY.format(logs=settings.logs))] if wrong else []


def _import_errors(settings: Settings) -> list[tuple[str, str]]:
    try:
        return Airflow(settings, timeout=5).import_errors()
    except WindtunnelError:
        return []


def patches(settings: Settings, processes: set[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What became of the patches in each of these processes: process -> patch -> `state` and `reason`."""
    from windtunnel.patches import catalogue

    return {name: record.get("patches") or {} for name, record in catalogue.recorded(settings.run) if name in processes}


def collect(settings: Settings) -> Status:
    """Look at everything.

    Raises:
        NoStackError: nothing is running.
    """
    process_compose.require(settings)
    rows = process_compose.Compose(settings).processes()
    order: Callable[[process_compose.Process], tuple[bool, str]] = lambda p: (p.name.startswith("worker"), p.name)  # noqa: E731
    table, problems = _processes(settings, sorted(rows, key=order), checks.examine(settings))
    workers = _workers(settings, table)
    queues, unacknowledged = _queues(settings)
    problems = _disk_problems(settings) + problems + _queue_problems(queues, workers)
    problems += _skew_problems(settings) + survivor_problems(settings)
    errors = _import_errors(settings)
    problems += [Problem(path, f"cannot be imported: {why}", f"mend {path}; it is read again within seconds") for path, why in errors]
    return Status(
        state="degraded" if problems else "healthy",
        processes=table,
        workers=workers,
        queues=queues,
        unacknowledged=unacknowledged,
        import_errors=[{"file": path, "error": why} for path, why in errors],
        problems=problems,
        urls={"airflow": settings.api_url, "flower": settings.flower_url},
        passwords={
            "airflow (user admin)": str(settings.secrets / "airflow-password"),
            "flower (user admin)": str(settings.secrets / "flower-password"),
        },
        patches=patches(settings, {process_compose.node(row.name) for row in table}),
    )
