"""What a person sees of a status, as Rich tables."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.health.status import Status


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in ("memory", "restarts", "pid", "load", "waiting") else "left", overflow="fold")
    return table


def _state(text: str, well: bool) -> Text:
    return Text(text, style="green" if well else "red")


def _moment(seconds: float) -> str:
    """The time of day, with the date where it was not today."""
    moment = time.localtime(seconds)
    today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", moment)


def render(status: Status) -> RenderableType:
    """The whole status as one printable thing."""
    processes = _table("Processes", "name", "state", "pid", "restarts", "memory")
    for row in status.processes:
        state = row.wrong or row.status.lower()
        processes.add_row(row.name, _state(state, row.well), str(row.pid or ""), str(row.restarts), f"{row.memory_mib:.0f} MiB")
    workers = _table("Workers", "node", "state", "in Flower", "queues", "load", "memory", "restarts", "last incident")
    for worker in status.workers:
        incident = worker.last_incident or ""
        if worker.last_incident_time is not None:
            incident = f"{_moment(worker.last_incident_time)}: {incident}"
        load = f"{worker.load}/{worker.concurrency}" if worker.concurrency else str(worker.load)
        workers.add_row(
            *(worker.node, _state(worker.state, worker.state == "healthy"), "yes" if worker.online else "no"),
            *(", ".join(worker.queues), load, f"{worker.memory_mib:.0f} MiB", str(worker.restarts), incident),
        )
    queues = _table("Queues", "queue", "waiting")
    for name, depth in status.queues.items():
        queues.add_row(name, str(depth))
    parts: list[RenderableType] = [processes, "", workers, "", queues, ""]
    if status.problems:
        problems = _table("What is wrong", "part", "what", "do")
        for problem in status.problems:
            problems.add_row(problem.part, Text(problem.what, style="red"), problem.do)
        parts += [problems, ""]
    else:
        parts += [Text("All is well.", style="green"), ""]
    skipped = [(p, n, o["reason"]) for p, found in status.patches.items() for n, o in found.items() if o["state"] == "skipped"]
    if skipped:
        table = _table("Patches that are left out: Airflow runs as upstream made it there", "process", "patch", "why")
        for skip in skipped:
            table.add_row(*skip)
        parts += [table, ""]
    off = {name for found in status.patches.values() for name, outcome in found.items() if outcome["state"] == "off"}
    if off:
        parts += [f"{len(off)} patches of Airflow are switched off (WINDTUNNEL_PATCHES)", ""]
    parts += [f"{name}: {url}" for name, url in status.urls.items()]
    parts += [f"password of {name}: {path}" for name, path in status.passwords.items()]
    return Group(*parts)
