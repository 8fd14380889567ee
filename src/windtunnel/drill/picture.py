"""The time line of a scenario: what the drill did, which parts were away, what ran where."""

from __future__ import annotations

from windtunnel.drill.cluster import Check
from windtunnel.drill.recording import Recording, Span, Try
from windtunnel.pages.timeline import MOST, Bar, Lane, Mark, Scale, Timeline, ticks
from windtunnel.settings import BROKERS

DRILL, WAITING, NOWHERE = "the drill", "waiting", "no worker"
#: States of Airflow that a bar shows in its colour. Others look neutral.
BAD = frozenset({"failed", "up_for_retry", "upstream_failed"})
#: In this order, then the workers.
ORDER = (
    *(*BROKERS, "postgres", "api-server", "scheduler", "dag-processor", "triggerer"),
    *("reconciler", "flower"),
)


def of(recording: Recording, checks: list[Check], place: str) -> Timeline:
    """The lanes from top to bottom: acts, parts that were not up all the time, workers, promises.

    Args:
        place: of the recording's log lines on the page; line 3 has the id PLACE-3.
    """
    scale = Scale.of(recording.began, recording.ended)
    changed = {span.component for span in recording.spans if span.state != "up"}
    tries = {each.worker or NOWHERE for each in recording.tries if _has_bar(each)}
    named = changed | tries | {line.component for line in recording.lines}
    lanes = {DRILL: Lane(DRILL)}
    if waiting := _waiting(recording, scale):
        lanes[WAITING] = Lane(WAITING, waiting[:MOST], thin=True)
    for name in sorted(named, key=_order):
        lanes[name] = Lane(name)
    numbered = [
        Mark(
            scale.at(act.time),
            f"{scale.since(act.time):.1f} s: the drill {act.what}",
            f"#{place}-act-{number}",
            str(number),
        )
        for number, act in enumerate(recording.acts, 1)
    ]
    lanes[DRILL].marks = numbered
    for span in recording.spans:
        if span.state != "up":
            lanes[span.component].bands.append(_band(span, scale))
    bars = sorted(_tries(recording, scale), key=lambda pair: pair[1].left)
    for name, bar in bars[:MOST]:
        lanes[name].bars.append(bar)
    for number, line in enumerate(recording.lines, 1):
        title = f"{scale.since(line.time):.1f} s: {line.text}"
        lanes[line.component].marks.append(Mark(scale.at(line.time), title, f"#{place}-{number}"))
    for lane in lanes.values():
        lane.stack()
        lane.thin = lane.thin or not lane.bars
    promises = [_promise(check, scale) for check in checks if check.limit is not None]
    left_out = max(len(bars) - MOST, 0) + max(len(waiting) - MOST, 0)
    lines = [Mark(mark.left, mark.title) for mark in numbered]
    return Timeline([*lanes.values(), *promises], ticks(scale.length), left_out, lines)


def always_up(recording: Recording) -> list[str]:
    """The parts that were never away, which the time line leaves out."""
    changed = {span.component for span in recording.spans if span.state != "up"}
    return sorted({span.component for span in recording.spans} - changed, key=_order)


def _order(name: str) -> tuple[int, str]:
    if name in ORDER:
        return ORDER.index(name), ""
    return (len(ORDER) + (name == NOWHERE), name)


def _band(span: Span, scale: Scale) -> Bar:
    left, width = scale.place(span.began, span.ended)
    times = f"{scale.since(span.began):.1f} s to {scale.since(span.ended):.1f} s"
    state = {"starting": "starting or not ready"}.get(span.state, span.state)
    return Bar(left, width, span.state, f"{span.component} {state}, {times}")


def _waiting(recording: Recording, scale: Scale) -> list[Bar]:
    """From the trigger of each run to the start of its first task, or to a failure without one."""
    first: dict[tuple[str, str], float] = {}
    for each in recording.tries:
        moment = each.began if each.fate else each.ended
        if moment is not None:
            run = each.dag_id, each.run_id
            first[run] = min(moment, first.get(run, moment))
    bars = []
    for run, posted in recording.runs.items():
        end = first.get(run, recording.ended)
        left, width = scale.place(posted, end)
        until = f"until {scale.since(end):.1f} s" if run in first else "to the end"
        title = f"{run[0]} waits from {scale.since(posted):.1f} s {until}"
        bars.append(Bar(left, width, "waiting", title))
    return bars


def _tries(recording: Recording, scale: Scale) -> list[tuple[str, Bar]]:
    found = []
    for each in recording.tries:
        if not _has_bar(each):
            continue
        assert each.began is not None
        end = recording.ended if each.ended is None else each.ended
        left, width = scale.place(each.began, end)
        title = f"{each.dag_id}.{each.task}, try {each.number}, {fate(each)}"
        times = f"{scale.since(each.began):.1f} s to {scale.since(end):.1f} s"
        text = f"{each.dag_id} · {each.number}"
        found.append(
            (each.worker or NOWHERE, Bar(left, width, kind(each), f"{title}, {times}", text))
        )
    return found


def _has_bar(each: Try) -> bool:
    """A try without a process has one only where it has ended: until then it waits."""
    return each.began is not None and (bool(each.fate) or each.ended is not None)


def kind(each: Try) -> str:
    """The look of a try: a try that Airflow calls failed is red, whatever its process did."""
    if each.state in BAD or each.fate == "cut":
        return "failed"
    if each.fate == "running" or each.state == "running":
        return "running"
    return "success" if each.state == "success" or each.fate == "ended" else "other"


def fate(each: Try) -> str:
    """In words: what its process did, and what Airflow records."""
    process = {
        "ended": "its work ended",
        "cut": "its process was cut short",
        "running": "its process still ran",
        "": "no process of it was seen",
    }[each.fate]
    return f"{process}, recorded as {each.state}" if each.state else process


def _promise(check: Check, scale: Scale) -> Lane:
    """The time that was allowed as a bar, and when it was seen as a mark."""
    limit = check.limit
    assert limit is not None
    left, width = scale.place(limit.since, limit.since + limit.seconds)
    begin = scale.since(limit.since)
    allowed = f"allowed from {begin:.1f} s to {begin + limit.seconds:.1f} s"
    lane = Lane(f"{'✓' if check.ok else '✗'} {check.promised}: {check.seen}", thin=True)
    lane.bars = [Bar(left, width, "limit", allowed)]
    look = "kept" if check.ok else "broken"
    if limit.seen is not None:
        moment = limit.since + limit.seen
        lane.marks = [Mark(scale.at(moment), f"seen at {scale.since(moment):.1f} s", kind=look)]
    return lane
