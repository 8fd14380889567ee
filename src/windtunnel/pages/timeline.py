"""Where the bars and marks of a time line stand: lanes, and per cent of its width.

`time_line` in parts.html.j2 draws it as SVG. Its lengths across are per cent and its heights are
pixels, so that texts keep their size on a page of any width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

#: A bar narrower than this, in per cent, could not be seen or clicked.
NARROWEST = 0.6
#: More bars or marks would make a page that no browser shows well.
MOST = 400
#: Pixels.
ROW, THIN_ROW, EDGE = 24, 9, 4


@dataclass(frozen=True)
class Bar:
    """Something that lasted. `kind` is its class in the style; `row` counts within the lane."""

    left: float
    width: float
    kind: str
    title: str
    text: str = ""
    link: str = ""
    row: int = 0


@dataclass(frozen=True)
class Mark:
    """A moment. `link` is a place on the page that says more; `text` is drawn beside it."""

    left: float
    title: str
    link: str = ""
    text: str = ""
    kind: str = ""


@dataclass
class Lane:
    """`bands` lie behind the bars, over the whole height. A thin lane has bars without text."""

    name: str
    bars: list[Bar] = field(default_factory=list)
    bands: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    rows: int = 1
    thin: bool = False

    @property
    def row_height(self) -> int:
        return THIN_ROW if self.thin else ROW

    @property
    def height(self) -> int:
        return self.rows * self.row_height + 2 * EDGE

    def top(self, bar: Bar) -> int:
        return EDGE + bar.row * self.row_height

    def stack(self) -> None:
        """Put bars that overlap below each other."""
        self.bars, self.rows = stacked(self.bars)


@dataclass
class Timeline:
    """`ticks` are (per cent, seconds since the beginning); `lines` cross every lane."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    left_out: int = 0
    lines: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Scale:
    """From Unix seconds to per cent. `length` is in seconds."""

    begin: float
    length: float

    @classmethod
    def of(cls, begin: float, end: float) -> Scale:
        return cls(begin, max(end - begin, 0.001))

    def at(self, moment: float) -> float:
        return self.place(moment, moment)[0]

    def place(self, start: float, end: float) -> tuple[float, float]:
        """Left and width, within the line."""
        left = min(max((start - self.begin) / self.length * 100, 0.0), 100.0 - NARROWEST)
        width = max((end - start) / self.length * 100, NARROWEST)
        return round(left, 2), round(min(width, 100.0 - left), 2)

    def since(self, moment: float) -> float:
        return moment - self.begin


def stacked(bars: Iterable[Bar]) -> tuple[list[Bar], int]:
    """The bars with a row each, and the number of rows."""
    ends: list[float] = []
    placed = []
    for bar in bars:
        row = next((i for i, end in enumerate(ends) if end <= bar.left), len(ends))
        ends[row : row + 1] = [bar.left + bar.width]
        placed.append(replace(bar, row=row))
    return placed, max(len(ends), 1)


def ticks(length: float) -> list[tuple[float, str]]:
    """Four to nine round seconds."""
    step = next(s for s in _steps() if length / s <= 8)
    found = []
    for number in range(int(length / step) + 1):
        seconds = number * step
        if seconds / length <= 0.95:
            found.append((round(seconds / length * 100, 2), f"{seconds:g} s"))
    return found


def _steps() -> list[float]:
    return [base * 10.0**power for power in range(-4, 7) for base in (1, 2, 5)]
