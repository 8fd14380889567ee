"""Where the bars and marks of a test's time line stand: lanes, and per cent of its width."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.testing.report.entry import Entry

#: The lane of tries that no worker has taken, and of faults of no component.
NOWHERE = "no worker"
#: A bar narrower than this, in per cent, could not be seen or clicked.
NARROWEST = 0.6
#: More bars or marks would make a page that no browser shows well.
MOST = 400


@dataclass(frozen=True)
class Bar:
    """A try (`kind` is its state) or a fault (`kind` is "fault"). `row` counts within the lane."""

    left: float
    width: float
    row: int
    kind: str
    text: str
    title: str
    link: str = ""


@dataclass(frozen=True)
class Mark:
    """An incident that a component reported."""

    left: float
    title: str


@dataclass
class Lane:
    name: str
    bars: list[Bar] = field(default_factory=list)
    faults: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    rows: int = 1


@dataclass
class Timeline:
    """`ticks` are (per cent, seconds since the beginning)."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    left_out: int = 0


def of(entry: Entry) -> Timeline | None:
    """The time line of a test; None where there is nothing to show on it."""
    starts = [each.start for run in entry.runs for each in run.tries if each.start is not None]
    # A run of a module's fixture may have begun before the test.
    begin = min([entry.began, *starts])
    length = max(entry.ended - begin, 0.001)
    lanes: dict[str, Lane] = {}
    bars = _tries(entry, begin, length)
    faults = [(fault["name"], _fault(fault, begin, length)) for fault in entry.faults]
    marks = [
        (str(event.get("component", "?")), _mark(event, begin, length))
        for event in entry.events
        if event.get("level") == "warning"
    ]
    if not bars and not faults and not marks:
        return None
    for name in sorted({name for name, *_ in [*bars, *faults, *marks]}):
        lanes[name] = Lane(name)
    for name, bar in faults[:MOST]:
        lanes[name].faults.append(bar)
    for name, mark in marks[:MOST]:
        lanes[name].marks.append(mark)
    for name, bar in bars[:MOST]:
        lanes[name].bars.append(bar)
    for lane in lanes.values():
        _stack(lane)
    left_out = sum(max(len(each) - MOST, 0) for each in (bars, faults, marks))
    return Timeline(list(lanes.values()), _ticks(length), left_out)


def _tries(entry: Entry, begin: float, length: float) -> list[tuple[str, Bar]]:
    found = []
    for run in entry.runs:
        for each in run.tries:
            if each.start is None:
                continue
            end = entry.ended if each.end is None else each.end
            left, width = _place(each.start, end, begin, length)
            seconds = f"{each.start - begin:.1f} s to {end - begin:.1f} s"
            text = f"{each.task} · {each.number}"
            title = f"{run.dag_id}: {each.task}, try {each.number}: {each.state}, {seconds}"
            bar = Bar(left, width, 0, each.state, text, title, each.log)
            found.append((each.worker or NOWHERE, bar))
    return sorted(found, key=lambda pair: pair[1].left)


def _fault(fault: dict[str, object], begin: float, length: float) -> Bar:
    began, ended = fault["began"], fault["ended"]
    assert isinstance(began, float)
    end = ended if isinstance(ended, float) else begin + length
    left, width = _place(began, end, begin, length)
    until = f"until {end - begin:.1f} s" if ended else "not mended when the test failed"
    title = f"the test broke {fault['name']} ({fault['how']}) at {began - begin:.1f} s, {until}"
    return Bar(left, width, 0, "fault", str(fault["how"]), title)


def _mark(event: dict[str, object], begin: float, length: float) -> Mark:
    moment = event["time"]
    assert isinstance(moment, int | float)
    left, _ = _place(moment, moment, begin, length)
    return Mark(left, f"{moment - begin:.1f} s: {event.get('text')}")


def _place(start: float, end: float, begin: float, length: float) -> tuple[float, float]:
    """Left and width in per cent, within the line."""
    left = min(max((start - begin) / length * 100, 0.0), 100.0 - NARROWEST)
    width = max((end - start) / length * 100, NARROWEST)
    return round(left, 2), round(min(width, 100.0 - left), 2)


def _stack(lane: Lane) -> None:
    """Put bars that overlap below each other."""
    ends: list[float] = []
    placed = []
    for bar in lane.bars:
        row = next((i for i, end in enumerate(ends) if end <= bar.left), len(ends))
        ends[row : row + 1] = [bar.left + bar.width]
        placed.append(Bar(**{**bar.__dict__, "row": row}))
    lane.bars = placed
    lane.rows = max(len(ends), 1)


def _ticks(length: float) -> list[tuple[float, str]]:
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
