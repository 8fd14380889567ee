"""The tables at the end."""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from windtunnel.bench.result import Result, Summary
from windtunnel.pages.machine import in_words

#: Details that are shown by process: their name in a round, the heading, its unit.
BY_PROCESS = {
    "idle": ("CPU of the idle stack", "% of a core"),
    "memory": ("memory of the idle stack", "MiB"),
    "parallel-16 CPU-seconds a task": ("CPU-seconds a no-op task", "CPU-s"),
}


def value(number: float, unit: str) -> str:
    """Three figures that count, such as `0.215`, `4.62`, `45.4`, `1210`."""
    if number >= 100:
        digits = 0
    elif number >= 10:
        digits = 1
    elif number >= 1 or unit != "CPU-s":
        digits = 2
    else:
        digits = 3
    return f"{number:.{digits}f}"


def cell(summary: Summary | None, unit: str) -> str:
    """Median, and smallest to largest where there are several rounds."""
    if summary is None:
        return "-"
    text = f"{value(summary.median, unit)} {unit}"
    if len(summary.rounds) > 1:
        text += f" ({value(min(summary.rounds), unit)} to {value(max(summary.rounds), unit)})"
    return text


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _figures(result: Result) -> Table:
    """Median (smallest to largest), one column a stack."""
    columns = ["work", *result.rounds]
    has_ratios = len(result.rounds) > 1
    if has_ratios:
        columns.append("stock / windtunnel")
    table = _table(*columns)
    for name, figure in result.figures.items():
        cells = [cell(result.summary(stack, name), figure.unit) for stack in result.rounds]
        if has_ratios:
            ratio = result.ratio(name)
            cells.append(f"{ratio:.2f}x" if ratio else "-")
        table.add_row(figure.title, *cells)
    return table


def by_process(result: Result, stack: str) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by detail and process; only what was measured."""
    found: dict[str, dict[str, float]] = {}
    for detail in BY_PROCESS:
        rounds = [r.details[detail] for r in result.rounds[stack] if detail in r.details]
        names = {name for row in rounds for name in row}
        if rounds:
            found[detail] = {
                name: statistics.median(row.get(name, 0.0) for row in rounds)
                for name in sorted(names)
            }
    return found


def _by_process(result: Result, stack: str) -> Table | None:
    """None where nothing of the kind was measured."""
    found = by_process(result, stack)
    if not found:
        return None
    table = _table(stack, *(", ".join(BY_PROCESS[detail]) for detail in found))
    for name in sorted({name for row in found.values() for name in row}):
        table.add_row(
            name,
            *(value(row.get(name, 0.0), BY_PROCESS[detail][1]) for detail, row in found.items()),
        )
    return table


def _memory_of_many(result: Result) -> list[str]:
    """Whether memory is flat: what the stack held before and after the many tasks, medians."""
    lines = []
    for stack, rounds in result.rounds.items():
        pairs = [
            (r.details["many memory before"], r.details["many memory after"])
            for r in rounds
            if "many memory after" in r.details
        ]
        if pairs:
            before, after = (
                statistics.median(sum(pair[side].values()) for pair in pairs) for side in (0, 1)
            )
            lines.append(
                f"{stack}: {before:.0f} MiB before the many tasks, {after:.0f} MiB after them",
            )
    return lines


def render(result: Result) -> RenderableType:
    """Everything a bench found that fits a page."""
    parts: list[RenderableType] = [_figures(result), ""]
    for stack in result.rounds:
        if (table := _by_process(result, stack)) is not None:
            parts += [table, ""]
    parts += _memory_of_many(result)
    rounds = max((len(r) for r in result.rounds.values()), default=0)
    return Group(
        *parts,
        f"{rounds} round{'s' if rounds != 1 else ''}, {result.seconds:.0f} s in all; "
        f"{in_words(result.machine)}",
    )


def render_growth(grown: dict[str, Any]) -> RenderableType:
    """What `--growth` found."""
    parts: list[RenderableType] = []
    for title, rows in grown["growth"].items():
        table = _table(title, "")
        for name, number in rows.items():
            table.add_row(name, f"{number:.3g}" if isinstance(number, float) else str(number))
        parts += [table, ""]
    return Group(*parts, f"{grown['seconds']:.0f} s in all; {in_words(grown['machine'])}")
