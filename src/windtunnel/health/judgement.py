"""The meaning of "healthy": the one judgement of `status`, `wait` and `drill`."""

from __future__ import annotations

from collections.abc import Iterable

from windtunnel.clients import process_compose
from windtunnel.health import checks
from windtunnel.settings import Settings

#: These processes end before the others start.
ONE_SHOTS = ("prepare", "migrate")


def judge(
    settings: Settings,
    rows: Iterable[process_compose.Process],
    services: dict[str, str | None] | None = None,
) -> dict[str, str | None]:
    """The fault of each process by its name; None for a healthy one.

    Args:
        services: the result of `checks.examine`; asked for when it is not given.
    """
    faults = checks.examine(settings) if services is None else services
    return {row.name: _fault(settings, row, faults) for row in rows}


def _fault(
    settings: Settings,
    row: process_compose.Process,
    services: dict[str, str | None],
) -> str | None:
    if row.name in ONE_SHOTS:
        if row.status == "Completed" and row.exit_code == 0:
            return None
        return f"{row.status.lower()}, exit code {row.exit_code}"
    if not row.is_running:
        return f"not running ({row.status.lower()})"
    if row.name.startswith("worker"):
        return checks.worker(settings, process_compose.node(row.name))
    return services.get(row.name)
