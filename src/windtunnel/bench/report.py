"""The table at the end."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from windtunnel.bench.result import Result, Summary


def value(number: float, unit: str) -> str:
    """Three figures that count, such as `0.215`, `4.62`, `45.4`, `1210`."""
    digits = 0 if number >= 100 else 1 if number >= 10 else 2 if number >= 1 or unit != "CPU-s" else 3
    return f"{number:.{digits}f}"


def _cell(summary: Summary | None, unit: str) -> str:
    if summary is None:
        return "-"
    text = f"{value(summary.median, unit)} {unit}"
    if len(summary.rounds) > 1:
        text += f" ({value(min(summary.rounds), unit)} to {value(max(summary.rounds), unit)})"
    return text


def render(result: Result) -> RenderableType:
    """Median (smallest to largest), one column a stack."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("work", overflow="fold")
    for stack in result.rounds:
        table.add_column(stack, justify="right")
    both = len(result.rounds) > 1
    if both:
        table.add_column("stock / windtunnel", justify="right")
    for name, figure in result.figures.items():
        cells = [_cell(result.summary(stack, name), figure.unit) for stack in result.rounds]
        ratio = result.ratio(name)
        table.add_row(figure.title, *cells, *([f"{ratio:.2f}x" if ratio else "-"] if both else []))
    rounds = max((len(r) for r in result.rounds.values()), default=0)
    facts, versions = result.machine, result.machine["versions"]
    about = (
        f"{rounds} round{'s' if rounds != 1 else ''}, {result.seconds:.0f} s in all; {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"load {facts['load_average'][0]:.1f} at the beginning; Airflow {versions['airflow']}, Python {versions['python']}"
    )
    return Group(table, "", about)
