"""The page of a bench: each figure with its spread, ours beside stock, and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windtunnel.bench.report import BY_PROCESS, by_process, cell, value
from windtunnel.bench.result import Result
from windtunnel.errors import WindtunnelError
from windtunnel.pages import page
from windtunnel.pages.machine import in_words

TEMPLATE = Path(__file__).with_name("page.html.j2")
#: Per cent of the width that the longest bar of a figure takes.
FULL = 98.0


@dataclass(frozen=True)
class Bar:
    """One stack's figure: the median as a bar, every round as a dot; per cent of the width."""

    stack: str
    text: str
    width: float
    low: float
    high: float
    dots: list[float]


@dataclass(frozen=True)
class Row:
    """One figure. `ratio` is stock's median divided by ours, empty without both."""

    name: str
    title: str
    bars: list[Bar]
    ratio: str


def write(target: Path, result: Result, interrupted: bool = False) -> None:
    """Write the page anew. Raises `WindtunnelError` where it cannot be written."""
    try:
        page.write(target, text(result, interrupted))
    except OSError as error:
        raise WindtunnelError(f"cannot write {target}: {error.strerror}") from None


def text(result: Result, interrupted: bool = False, when: float | None = None) -> str:
    machine = dict(result.machine)
    versions = machine.pop("versions", {})
    tables = [
        (stack, [BY_PROCESS[detail] for detail in found], _by_process(found))
        for stack in result.rounds
        if (found := by_process(result, stack))
    ]
    return page.render(
        TEMPLATE,
        rows=rows(result),
        stacks=list(result.rounds),
        rounds={stack: len(rounds) for stack, rounds in result.rounds.items()},
        tables=tables,
        machine=machine,
        versions=versions,
        about=in_words(result.machine),
        interrupted=interrupted,
        now=page.now(when),
    )


def rows(result: Result) -> list[Row]:
    """The figures that were measured, in the order of the table."""
    found = []
    for name, figure in result.figures.items():
        summaries = {s: each for s in result.rounds if (each := result.summary(s, name))}
        longest = max((max(each.rounds) for each in summaries.values()), default=0.0) or 1.0
        bars = []
        for stack, each in summaries.items():
            width, low, high, *dots = (
                round(number / longest * FULL, 2)
                for number in (each.median, min(each.rounds), max(each.rounds), *each.rounds)
            )
            bars.append(Bar(stack, cell(each, figure.unit), width, low, high, dots))
        ratio = result.ratio(name)
        if bars:
            found.append(Row(name, figure.title, bars, f"{ratio:.2f}x" if ratio else ""))
    return found


def _by_process(found: dict[str, dict[str, float]]) -> list[list[str]]:
    names = sorted({name for row in found.values() for name in row})
    return [
        [name, *(value(row.get(name, 0.0), BY_PROCESS[detail][1]) for detail, row in found.items())]
        for name in names
    ]
