"""Prints how many page faults 50 short calls cost at the worst of many depths; `room` gives their frames one piece of memory."""

from __future__ import annotations

import resource
import sys

from windtunnel.runtime import frames


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)


def at(depth: int) -> int:
    if depth:
        return at(depth - 1)
    before = faults()
    for _ in range(50):
        deep(6)
    return faults() - before


def worst() -> None:
    at(300)
    print(max(at(depth) for depth in range(250)))


if sys.argv[1] == "room":
    frames.with_room(worst)
else:
    worst()
