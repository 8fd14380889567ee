"""The time line of a failed test: its tries, what it broke, what the components reported."""

from __future__ import annotations

from windtunnel.pages.timeline import MOST, Bar, Lane, Mark, Scale, Timeline, ticks
from windtunnel.testing.report.entry import Entry

#: The lane of tries that no worker has taken, and of faults of no component.
NOWHERE = "no worker"


def of(entry: Entry) -> Timeline | None:
    """The time line of a test; None where there is nothing to show on it."""
    starts = [each.start for run in entry.runs for each in run.tries if each.start is not None]
    # A run of a module's fixture may have begun before the test.
    begin = min([entry.began, *starts])
    scale = Scale.of(begin, entry.ended)
    lanes: dict[str, Lane] = {}
    bars = _tries(entry, scale)
    faults = [(fault["name"], _fault(fault, scale)) for fault in entry.faults]
    marks = [
        (str(event.get("component", "?")), _mark(event, scale))
        for event in entry.events
        if event.get("level") == "warning"
    ]
    if not bars and not faults and not marks:
        return None
    for name in sorted({name for name, *_ in [*bars, *faults, *marks]}):
        lanes[name] = Lane(name)
    for name, bar in faults[:MOST]:
        lanes[name].bands.append(bar)
    for name, mark in marks[:MOST]:
        lanes[name].marks.append(mark)
    for name, bar in bars[:MOST]:
        lanes[name].bars.append(bar)
    for lane in lanes.values():
        lane.stack()
    left_out = sum(max(len(each) - MOST, 0) for each in (bars, faults, marks))
    return Timeline(list(lanes.values()), ticks(scale.length), left_out)


def _tries(entry: Entry, scale: Scale) -> list[tuple[str, Bar]]:
    found = []
    for run in entry.runs:
        for each in run.tries:
            if each.start is None:
                continue
            end = entry.ended if each.end is None else each.end
            left, width = scale.place(each.start, end)
            seconds = f"{scale.since(each.start):.1f} s to {scale.since(end):.1f} s"
            text = f"{each.task} · {each.number}"
            title = f"{run.dag_id}: {each.task}, try {each.number}: {each.state}, {seconds}"
            bar = Bar(left, width, each.state, title, text, each.log)
            found.append((each.worker or NOWHERE, bar))
    return sorted(found, key=lambda pair: pair[1].left)


def _fault(fault: dict[str, object], scale: Scale) -> Bar:
    began, ended = fault["began"], fault["ended"]
    assert isinstance(began, float)
    end = ended if isinstance(ended, float) else scale.begin + scale.length
    left, width = scale.place(began, end)
    until = f"until {scale.since(end):.1f} s" if ended else "not mended when the test failed"
    title = (
        f"the test broke {fault['name']} ({fault['how']}) at {scale.since(began):.1f} s, {until}"
    )
    return Bar(left, width, "fault", title)


def _mark(event: dict[str, object], scale: Scale) -> Mark:
    moment = event["time"]
    assert isinstance(moment, int | float)
    return Mark(scale.at(moment), f"{scale.since(moment):.1f} s: {event.get('text')}")
