"""How long parts took to be back, as a distribution: for a soak, whose faults are many."""

from __future__ import annotations

import statistics
from collections import defaultdict

from windtunnel.drill.recording import Recording
from windtunnel.pages.timeline import Lane, Mark, Scale, Timeline, ticks

#: With fewer absences the time line itself says it all.
FEWEST = 5


def absences(recording: Recording) -> dict[str, list[tuple[float, float]]]:
    """When each part stopped being up, in Unix seconds, and the seconds until it was up again.

    One that was not up again is left out.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    since: dict[str, float] = {}
    for span in recording.spans:
        if span.state != "up":
            since.setdefault(span.component, span.began)
        elif span.component in since:
            began = since.pop(span.component)
            found[span.component].append((began, span.began - began))
    return dict(found)


def picture(recording: Recording) -> Timeline | None:
    """A lane for each part, a mark for each absence at its length; None where they are few."""
    found = absences(recording)
    if sum(len(rows) for rows in found.values()) < FEWEST:
        return None
    scale = Scale.of(0.0, max(length for rows in found.values() for _, length in rows))
    lanes = []
    for name, rows in sorted(found.items()):
        lengths = [length for _, length in rows]
        middle, longest = statistics.median(lengths), max(lengths)
        lane = Lane(
            f"{name}: {len(rows)}, median {middle:.1f} s, longest {longest:.1f} s", thin=True
        )
        lane.marks = [
            Mark(scale.at(length), f"{length:.1f} s, from {began - recording.began:.1f} s on")
            for began, length in rows
        ]
        lanes.append(lane)
    return Timeline(lanes, ticks(scale.length))
