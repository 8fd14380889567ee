"""The tables of `windtunnel status`, drawn with Rich."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.health.rows import ProcessRow, WorkerRow
from windtunnel.health.status import Patches, Status
from windtunnel.ledger import held

WORKER_COLUMNS = (
    "node",
    "state",
    "in Flower",
    "queues",
    "load",
    "memory",
    "restarts",
    "last incident",
)
#: The title of the table of patches that do not fit the installed versions.
SKIPPED_PATCHES = "Skipped patches: these parts of Airflow run unpatched"
#: The columns that are set to the right.
NUMBERS = frozenset({"memory", "restarts", "pid", "load", "waiting"})


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    return table


def _state(text: str, well: bool) -> Text:
    bad = "yellow" if text.startswith(held.DRAINING) else "red"
    return Text(text, style="green" if well else bad)


def _moment(seconds: float) -> str:
    """The time of day, with the date unless it is today."""
    moment = time.localtime(seconds)
    today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", moment)


def _processes(rows: list[ProcessRow]) -> Table:
    table = _table("Processes", "name", "state", "pid", "restarts", "memory")
    for row in rows:
        state = _state(row.wrong or row.status.lower(), row.well)
        memory = f"{row.memory_mib:.0f} MiB"
        table.add_row(row.name, state, str(row.pid or ""), str(row.restarts), memory)
    return table


def _workers(rows: list[WorkerRow]) -> Table:
    table = _table("Workers", *WORKER_COLUMNS)
    for row in rows:
        incident = row.last_incident or ""
        if row.last_incident_time is not None:
            incident = f"{_moment(row.last_incident_time)}: {incident}"
        table.add_row(
            row.node,
            _state(row.state, row.state == "healthy"),
            "yes" if row.online else "no",
            ", ".join(row.queues),
            f"{row.load}/{row.concurrency}" if row.concurrency else str(row.load),
            f"{row.memory_mib:.0f} MiB",
            str(row.restarts),
            incident,
        )
    return table


def _patches(patches: Patches) -> list[RenderableType]:
    """The skipped patches with their reasons, and the number of those that are switched off."""
    table = _table(SKIPPED_PATCHES, "process", "patch", "why")
    off = set()
    for process, outcomes in patches.items():
        for name, outcome in outcomes.items():
            if outcome["state"] == "skipped":
                table.add_row(process, name, outcome["reason"])
            if outcome["state"] == "off":
                off.add(name)
    parts: list[RenderableType] = [table, ""] if table.row_count else []
    if off:
        parts += [f"{len(off)} patches of Airflow are switched off (WINDTUNNEL_PATCHES)", ""]
    return parts


def render(status: Status) -> RenderableType:
    """The whole status as one printable thing."""
    queues = _table("Queues", "queue", "waiting")
    for name, depth in status.queues.items():
        queues.add_row(name, str(depth))
    parts: list[RenderableType] = [
        _processes(status.processes),
        "",
        _workers(status.workers),
        "",
        queues,
        "",
    ]
    if status.problems:
        problems = _table("What is wrong", "part", "what", "do")
        for problem in status.problems:
            problems.add_row(problem.part, Text(problem.what, style="red"), problem.do)
        parts += [problems, ""]
    else:
        drains = [worker.node for worker in status.workers if worker.drains]
        told = f"All is well; told to drain: {', '.join(drains)}." if drains else "All is well."
        parts += [Text(told, style="green"), ""]
    parts += _patches(status.patches)
    parts += [f"Airflow {status.airflow}"] if status.airflow else []
    if status.database:
        parts.append(f"database: {status.database}")
    parts += [f"{name}: {url}" for name, url in status.urls.items()]
    parts += [f"password of {name}: {path}" for name, path in status.passwords.items()]
    return Group(*parts)
