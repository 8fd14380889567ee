"""The reports of a worker's supervisor in the file of events (windtunnel.system.events).

Standard library only, as `remote_cluster`.
"""

from __future__ import annotations

from collections.abc import Iterable

from windtunnel.system.events import Event


def first(events: Iterable[Event], worker: str, since: float, name: str = "") -> str | None:
    """The text of the first report since a Unix time; None if there is none.

    Args:
        name: the name of an event. Without it any warning counts.
    """
    for event in events:
        if event.get("component") != worker or event["time"] < since:
            continue
        wanted = event.get("event") == name if name else event.get("level") == "warning"
        if wanted:
            return str(event.get("text"))
    return None
