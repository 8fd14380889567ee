"""Rounds of both stacks put together: medians, spread, ratios."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from windtunnel.bench.figures import Figure
from windtunnel.bench.measurements import Round


@dataclass(frozen=True)
class Summary:
    """One figure of one stack over all rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def as_json(self) -> dict[str, Any]:
        return {
            "rounds": [round(value, 4) for value in self.rounds],
            "median": round(self.median, 4),
            "min": round(min(self.rounds), 4),
            "max": round(max(self.rounds), 4),
        }


@dataclass
class Result:
    """Everything one bench found. `rounds` by stack name, ours first."""

    figures: dict[str, Figure]
    machine: dict[str, Any]
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    seconds: float = 0.0
    #: Of windtunnel's own stack: process -> patch -> what became of it.
    patches: dict[str, Any] = field(default_factory=dict)

    def summary(self, stack: str, figure: str) -> Summary | None:
        values = [r.figures[figure] for r in self.rounds.get(stack, []) if figure in r.figures]
        return Summary(values) if values else None

    def ratio(self, figure: str) -> float | None:
        """Stock's median divided by ours: how many times quicker or smaller ours is."""
        ours, stock = self.summary("windtunnel", figure), self.summary("stock", figure)
        return stock.median / ours.median if ours and stock and ours.median else None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints. Every round's own figure is in it."""
        rows: dict[str, Any] = {}
        for name, figure in self.figures.items():
            rows[name] = {"title": figure.title, "unit": figure.unit}
            for stack in self.rounds:
                if summary := self.summary(stack, name):
                    rows[name][stack] = summary.as_json()
            if (ratio := self.ratio(name)) is not None:
                rows[name]["stock/windtunnel"] = round(ratio, 3)
        details = {stack: [r.details for r in rounds] for stack, rounds in self.rounds.items()}
        return {
            "version": 1,
            "date": time.strftime("%Y-%m-%d"),
            "machine": self.machine,
            "patches": self.patches,
            "seconds": round(self.seconds, 1),
            "figures": rows,
            "details": rounded(details),
        }


def rounded(data: Any) -> Any:
    """Every number in it to four places; names sorted."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in sorted(data.items())}
    if isinstance(data, list):
        return [rounded(value) for value in data]
    return round(data, 4) if isinstance(data, float) else data
