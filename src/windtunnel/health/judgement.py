"""The meaning of "healthy": the one judgement of `status`, `wait` and `drill`."""

from __future__ import annotations

from collections.abc import Iterable

from windtunnel.clients import process_compose
from windtunnel.health import checks
from windtunnel.ledger import held
from windtunnel.settings import Settings

#: These processes end before the others start.
ONE_SHOTS = ("prepare", "migrate")


def judge(
    settings: Settings,
    rows: Iterable[process_compose.Process],
    services: dict[str, str | None] | None = None,
) -> dict[str, str | None]:
    """The fault of each process by its name; None for a healthy one.

    A worker that drains has a fault, which begins with `held.DRAINING`: it takes no task.

    Args:
        services: the result of `checks.examine`; asked for when it is not given.
    """
    faults = checks.examine(settings) if services is None else services
    drains = held.drains(settings)
    return {row.name: _fault(settings, row, faults, drains) for row in rows}


def _fault(
    settings: Settings,
    row: process_compose.Process,
    services: dict[str, str | None],
    drains: dict[str, str],
) -> str | None:
    node = process_compose.node(row.name)
    if row.name.startswith("worker") and node in drains:
        return drains[node]
    if row.name in ONE_SHOTS:
        if row.status == "Completed" and row.exit_code == 0:
            return None
        return f"{row.status.lower()}, exit code {row.exit_code}"
    if row.status == "Terminating":
        return "stopping"
    if not row.is_running:
        return f"not running ({row.status.lower()})"
    if row.name.startswith("worker"):
        return checks.worker(settings, node)
    return services.get(row.name)
