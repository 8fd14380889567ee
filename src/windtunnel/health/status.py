"""`windtunnel status`: every process and worker, the queues, and the problems with their advice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from windtunnel.brokers import choice
from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks, judgement, problems, rows
from windtunnel.health.problems import Problem
from windtunnel.health.rows import ProcessRow, WorkerRow
from windtunnel.settings import Settings, recorded_airflow

#: The outcome of each patch in each process: process -> patch -> `state` and `reason`
#: (`windtunnel.patches.registry.Outcome`).
Patches = dict[str, dict[str, dict[str, str]]]


@dataclass
class Status:
    """The whole status; `state` is healthy or degraded."""

    state: str
    processes: list[ProcessRow]
    workers: list[WorkerRow]
    queues: dict[str, int]
    unacknowledged: int | None
    import_errors: list[dict[str, str]]
    problems: list[Problem]
    urls: dict[str, str]
    passwords: dict[str, str]
    patches: Patches
    #: Where it is, when another service runs it.
    database: str | None = None
    #: The version of Airflow; empty where it is not known.
    airflow: str = ""
    version: int = field(default=1)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _import_errors(settings: Settings) -> list[tuple[str, str]]:
    try:
        return Airflow(settings, timeout=5).import_errors()
    except WindtunnelError:
        return []


def patches(settings: Settings, processes: set[str]) -> Patches:
    """The outcome of the patches in each of these processes."""
    from windtunnel.patches import catalogue

    recorded = catalogue.recorded(settings.run)
    return {name: record.get("patches") or {} for name, record in recorded if name in processes}


def _workers_last(row: process_compose.Process) -> tuple[bool, str]:
    return row.name.startswith("worker"), row.name


def collect(settings: Settings) -> Status:
    """Examine the whole stack.

    Raises:
        NoStackError: nothing is running.
    """
    process_compose.require(settings)
    known = sorted(process_compose.Compose(settings).processes(), key=_workers_last)
    processes = [row for row in known if not row.off]
    faults = judgement.judge(settings, processes)
    table = rows.process_rows(processes, faults)
    workers = rows.worker_rows(settings, table)
    queues, unacknowledged = rows.queue_depths(settings)
    errors = _import_errors(settings)
    found = [
        # A full disk is the cause of the other problems, so it comes first.
        *problems.disk_problems(settings),
        *problems.process_problems(settings, processes, faults),
        *problems.queue_problems(queues, workers),
        *problems.skew_problems(settings),
        *problems.survivor_problems(settings),
        *problems.project_problems(settings),
        *problems.import_problems(errors),
    ]
    pages = choice.of(settings).pages(settings)
    urls = {"airflow": settings.api_url, "flower": settings.flower_url}
    passwords = {
        f"{name} (user admin)": str(settings.secrets / f"{name}-password") for name in urls
    }
    return Status(
        state="degraded" if found else "healthy",
        processes=table,
        workers=workers,
        queues=queues,
        unacknowledged=unacknowledged,
        import_errors=[{"file": path, "error": why} for path, why in errors],
        problems=found,
        urls=urls | {page.name: page.url for page in pages},
        passwords=passwords | {f"{page.name} (user admin)": str(page.password) for page in pages},
        patches=patches(settings, {process_compose.node(row.name) for row in table}),
        database=checks.outside_database(settings),
        airflow=recorded_airflow(settings.state),
    )
