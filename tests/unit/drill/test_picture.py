"""The page of a drill, from recorded data: marks at the right places, every text escaped, nothing loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from windtunnel.drill import page, picture, recoveries
from windtunnel.drill.cluster import Check, Checks, Limit, Mark, Took
from windtunnel.drill.recording import Act, Line, Recording, Try
from windtunnel.drill.report import Rehearsal, paired
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome
from windtunnel.pages.timeline import Lane, Timeline

#: The Unix time at which the scenario began.
T = 1_796_069_610.0
ODD = "<img src=x onerror=alert(1)> \"'&"


def recording(**more: Any) -> Recording:
    return Recording(**{"began": T, "ended": T + 100, **more})


def lane(line: Timeline, name: str) -> Lane:
    return next(lane for lane in line.lanes if lane.name == name)


def mark(
    event: str, at: float, *, pid: int = 7, attempt: int = 1, worker: str = "worker-0"
) -> Mark:
    return Mark(event, "retry", "r", "work", -1, attempt, pid, worker, T + at, start=1)


def test_an_act_is_a_numbered_mark_and_a_line_across_every_lane() -> None:
    acts = [Act(T + 10, "stops valkey", "valkey"), Act(T + 50, "starts valkey", "valkey")]
    line = picture.of(recording(acts=acts), [], "s1")
    marks = lane(line, "the drill").marks
    assert [(m.left, m.text, m.link) for m in marks] == [
        (10, "1", "#s1-act-1"),
        (50, "2", "#s1-act-2"),
    ]
    assert [m.left for m in line.lines] == [10, 50]
    assert marks[0].title == "10.0 s: the drill stops valkey"


def test_a_part_is_away_then_starting_where_it_was_seen_so() -> None:
    found = recording()
    for second in range(0, 101):
        state = "away" if 10 <= second < 30 else "starting" if 30 <= second < 40 else "up"
        found.saw({"valkey": state, "postgres": "up"}, T + second)
    line = picture.of(found, [], "s1")
    away, starting = lane(line, "valkey").bands
    assert (away.kind, away.left, away.width) == ("away", 10, 20)
    assert (starting.kind, starting.left, starting.width) == ("starting", 30, 10)
    assert "postgres" not in [each.name for each in line.lanes]
    assert picture.always_up(found) == ["postgres"]


def test_many_absences_are_shown_by_their_length() -> None:
    found = recording()
    assert recoveries.picture(found) is None
    for second in range(0, 100):
        found.saw(
            {"valkey": "away" if second % 20 < 2 else "starting" if second % 20 < 4 else "up"},
            T + second,
        )
        found.saw({"flower": "away" if 10 <= second < 50 or second > 90 else "up"}, T + second)
    shown = recoveries.picture(found)
    assert shown is not None
    assert [lane.name for lane in shown.lanes] == [
        "flower: 1, median 40.0 s, longest 40.0 s",
        "valkey: 5, median 4.0 s, longest 4.0 s",
    ]
    assert {mark.left for mark in shown.lanes[1].marks} == {10}
    assert "How long until a part was up again" in page.text(
        [Rehearsal(outcome([], recording=found))], "x"
    )


def test_a_try_is_a_bar_on_its_worker_from_its_first_to_its_last_sign_of_life() -> None:
    found = recording(runs={("retry", "r"): T + 5})
    marks = [
        *(mark("start", 10), mark("pulse", 11), mark("pulse", 19)),
        *(
            mark(event, at, pid=8, attempt=2, worker="worker-1")
            for event, at in [("start", 40), ("end", 60)]
        ),
        Mark("start", "other", "x", "work", -1, 1, 9, "worker-1", T + 1),
    ]
    found.tries = found.copies(marks)
    line = picture.of(found, [], "s1")
    [first], [second] = lane(line, "worker-0").bars, lane(line, "worker-1").bars
    assert (first.left, first.width, first.kind) == (10, 9, "failed")
    assert (second.left, second.width, second.kind) == (40, 20, "success")
    assert first.title == "retry.work, try 1, its process was cut short, 10.0 s to 19.0 s"
    [waiting] = lane(line, "waiting").bars
    assert (waiting.left, waiting.width) == (5, 5)


def test_a_process_that_gave_a_sign_of_life_at_the_end_still_runs() -> None:
    found = recording(runs={("retry", "r"): T})
    found.tries = found.copies([mark("start", 90), mark("pulse", 99)])
    assert [picture.kind(each) for each in found.tries] == ["running"]


def test_work_that_ended_and_is_recorded_as_failed_is_shown_as_failed() -> None:
    done = Try("steady", "r", "work", 1, "worker-0", T + 1, T + 30, "ended", "failed")
    never = Try("steady", "r2", "work", 1, began=T + 2, ended=T + 3, state="failed")
    line = picture.of(recording(tries=[done, never]), [], "s1")
    [bar] = lane(line, "worker-0").bars
    assert bar.kind == "failed" and "its work ended, recorded as failed" in bar.title
    [bar] = lane(line, "no worker").bars
    assert "no process of it was seen" in bar.title


def test_a_promise_about_time_shows_what_is_allowed_and_when_it_was_seen() -> None:
    checks = Checks()
    checks.within("it is back", 20, Took(30, since=T + 10), 60)
    checks.made.append(
        Check("it says so within 5 s", "not within 60 s", False, Limit(5, T + 10, None, 60))
    )
    line = picture.of(recording(), checks.made, "s1")
    late, never = line.lanes[-2:]
    assert late.name == "✗ it is back within 20 s: after 30.0 s"
    assert (late.bars[0].left, late.bars[0].width) == (10, 20)
    assert [(m.left, m.kind) for m in late.marks] == [(40, "broken")]
    assert (never.bars[0].left, never.bars[0].width, never.marks) == (10, 5, [])


def test_a_log_line_is_a_mark_on_its_component_and_leads_to_its_row() -> None:
    found = recording(lines=[Line(T + 25, "worker-0", "lost retry.work")])
    [shown] = lane(picture.of(found, [], "s1-here"), "worker-0").marks
    assert (shown.left, shown.link) == (25, "#s1-here-1")
    assert shown.title == "25.0 s: lost retry.work"


def outcome(checks: list[Check], **more: Any) -> Outcome:
    return Outcome(SCENARIOS["worker-killed"], checks, 12.0, **more)


def test_a_promise_stands_once_with_what_both_stacks_showed() -> None:
    ours = [Check("a", "1", True), Check("b", "2", True), Check("a", "3", True)]
    theirs = [Check("a", "x", False), Check("only there", "y", False)]
    rows = paired(Rehearsal(outcome(ours), outcome(theirs)))
    assert [(p, o and o.seen, t and t.seen) for p, o, t in rows] == [
        ("a", "1", "x"),
        ("b", "2", None),
        ("a", "3", None),
        ("only there", None, "y"),
    ]


def everything() -> Recording:
    return recording(
        acts=[Act(T + 1, ODD, ODD)],
        lines=[Line(T + 2, ODD, ODD)],
        tries=[Try(ODD, ODD, ODD, 1, ODD, T + 1, T + 2, "ended", ODD)],
        runs={(ODD, ODD): T},
        notes=[ODD],
    )


def test_every_text_of_others_is_escaped() -> None:
    check = Check(ODD, ODD, False, Limit(1, T, None, 1))
    found = Rehearsal(
        outcome([check], recording=everything()), outcome([], skipped=ODD, recording=everything())
    )
    text = page.text([found], ODD)
    assert "<img" not in text and "alert(1)&gt;" in text
    assert not re.search(r"=\"[^\"]*<img|onerror=alert\(1\)>", text)


def test_the_page_loads_nothing_and_each_of_its_links_is_a_place_in_it() -> None:
    both = Rehearsal(
        outcome([Check("a", "b", True)], recording=everything()),
        outcome([], recording=everything()),
    )
    text = page.text([both, Rehearsal(outcome([], recording=everything()))], "two cores")
    assert "default-src 'none'" in text
    assert not re.search(
        r"[^_]src=|@import|url\(|<script|<link|https?://", text.replace(" src=x", "")
    )
    links = re.findall(r'href="([^"]*)"', text)
    assert links and all(link.startswith("#") and f'id="{link[1:]}"' in text for link in links)
    assert len(re.findall(r'id="', text)) == len(set(re.findall(r'id="([^"]*)"', text)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "nothing was checked"),
        ({"interrupted": True}, "interrupted"),
        ({"skipped": "no right to do it"}, "no right to do it"),
    ],
)
def test_what_did_not_come_to_its_end_is_said(more: dict[str, Any], words: str) -> None:
    assert words in page.text([Rehearsal(outcome([], **more))], "two cores")


def test_a_page_without_any_scenario_is_written(tmp_path: Path) -> None:
    page.write(tmp_path / "report.html", [], "two cores")
    assert "No scenario has been rehearsed yet" in (tmp_path / "report.html").read_text()
