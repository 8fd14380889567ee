"""The page of the report: a time line that is right, every text escaped, nothing loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from windtunnel.pages.timeline import MOST
from windtunnel.testing.report import entry, folder, page, timeline

#: The Unix time at which the test began.
T = 1_796_069_610.0
ODD = "<img src=x onerror=alert(1)> \"'&"


def of(**more: Any) -> entry.Entry:
    return entry.Entry(
        **{
            "node": "test_etl.py::test_retry",
            "outcome": "failed",
            "message": "assert 1 == 2",
            "began": T,
            "ended": T + 10,
            **more,
        }
    )


def tried(task: str, number: int, start: float | None, end: float | None, worker: str) -> entry.Try:
    log = f"tasks/1-etl/{task}.try-{number}.log"
    return entry.Try(task, number, "success" if end else "running", worker, start, end, log)


def test_a_try_is_a_bar_on_its_worker_and_one_that_runs_reaches_the_end() -> None:
    tries = [tried("load", 1, T + 1, T + 3, "worker-0"), tried("load", 2, T + 5, None, "worker-1")]
    line = timeline.of(of(runs=[entry.Run("etl", "r", T, "running", tries)]))
    assert line is not None
    assert [lane.name for lane in line.lanes] == ["worker-0", "worker-1"]
    first, second = (lane.bars[0] for lane in line.lanes)
    assert (first.left, first.width, second.left, second.width) == (10, 20, 50, 50)
    assert first.title == "etl: load, try 1: success, 1.0 s to 3.0 s"
    assert [text for _, text in line.ticks] == ["0 s", "2 s", "4 s", "6 s", "8 s"]


def test_tries_at_the_same_time_are_below_each_other() -> None:
    spans = [(0, 4), (1, 2), (2, 5), (6, 7)]
    tries = [tried(f"t{n}", 1, T + a, T + b, "worker-0") for n, (a, b) in enumerate(spans)]
    line = timeline.of(of(runs=[entry.Run("etl", "r", T, "success", tries)]))
    assert line is not None
    assert [bar.row for bar in line.lanes[0].bars] == [0, 1, 1, 0]
    assert line.lanes[0].rows == 2


def test_faults_and_incidents_stand_on_the_lane_of_their_component() -> None:
    faults = [
        {"name": "worker-0", "how": "killed", "began": T + 2, "ended": T + 4},
        {"name": "valkey", "how": "away", "began": T + 5, "ended": None},
    ]
    events = [
        {"time": T + 2, "component": "worker-0", "level": "warning", "text": "Celery died"},
        {"time": T + 3, "component": "worker-0", "level": "info", "text": "starting"},
    ]
    line = timeline.of(of(faults=faults, events=events))
    assert line is not None
    valkey, worker = line.lanes
    assert (valkey.bands[0].left, valkey.bands[0].width) == (50, 50)
    assert (worker.bands[0].left, worker.bands[0].width) == (20, 20)
    assert [mark.title for mark in worker.marks] == ["2.0 s: Celery died"]


def test_a_run_from_before_the_test_and_an_end_after_it_stay_within_the_line() -> None:
    tries = [tried("early", 1, T - 10, T - 5, "w"), tried("late", 1, T + 9, T + 99, "w")]
    line = timeline.of(of(runs=[entry.Run("etl", "r", T, "success", tries)]))
    assert line is not None
    assert [bar.left for bar in line.lanes[0].bars if bar.left < 0] == []
    assert all(bar.left + bar.width <= 100 for bar in line.lanes[0].bars)


@pytest.mark.parametrize("length", [0.0, 0.003, 1.0, 59.0, 86_400.0])
def test_a_time_line_of_any_length_has_a_few_ticks(length: float) -> None:
    marked = {"time": T, "component": "reconciler", "level": "warning", "text": "x"}
    line = timeline.of(of(ended=T + length, events=[marked]))
    assert line is not None and 1 <= len(line.ticks) <= 9


def test_a_thousand_tries_are_left_out_in_part_and_it_is_said() -> None:
    tries = [tried(f"t{n}", 1, T, T + 1, "w") for n in range(MOST + 5)]
    line = timeline.of(of(runs=[entry.Run("etl", "r", T, "success", tries)]))
    assert line is not None and line.left_out == 5


def written(target: Path, *entries: entry.Entry) -> str:
    folder.prepare(target)
    for each in entries:
        place = folder.of_test(target, each.node)
        each.folder = place.name
        each.write(place)
    page.write(target, [page.Outcome(each.node, "failed", 1.0) for each in entries])
    return (target / folder.PAGE).read_text()


def test_every_text_of_others_is_escaped(tmp_path: Path) -> None:
    odd = entry.Try(ODD, 1, ODD, ODD, T, T + 1, ODD)
    everything = of(
        node=ODD,
        message=ODD,
        outcome=ODD,
        runs=[entry.Run(ODD, ODD, T, ODD, [odd])],
        faults=[{"name": ODD, "how": ODD, "began": T, "ended": T + 1}],
        events=[{"time": T, "component": ODD, "level": "warning", "text": ODD}],
        problems=[{"part": ODD, "what": ODD}],
        files=[ODD],
        notes=[ODD],
    )
    text = written(tmp_path, everything)
    assert "<img" not in text and "alert(1)&gt;" in text
    # No attribute ends early either.
    assert not re.search(r"=\"[^\"]*<img|onerror=alert\(1\)>", text)


def test_the_page_loads_nothing_and_each_of_its_links_is_a_file_or_a_place_in_it(
    tmp_path: Path,
) -> None:
    tries = [tried("load", 1, T, T + 1, "worker-0")]
    entries = [of(runs=[entry.Run("etl", "r", T, "failed", tries)], files=[tries[0].log])] * 2
    text = written(tmp_path, *entries)
    log = tmp_path / folder.TESTS / entries[0].folder / tries[0].log
    log.parent.mkdir(parents=True)
    log.touch()
    assert "default-src 'none'" in text
    assert not re.search(r"src=|@import|url\(|<script|<link|https?://", text)
    links = set(re.findall(r'href="([^"]*)"', text))
    assert [link for link in links if link.startswith("#")] == ["#test-1"]
    assert 'id="test-1"' in text
    files = [link for link in links if not link.startswith("#")]
    assert all((tmp_path / link).exists() for link in files if entries[0].folder + "/" in link)


def test_an_event_without_its_usual_fields_is_shown(tmp_path: Path) -> None:
    assert "Events of the stack" in written(tmp_path, of(events=[{"time": T}]))


def test_an_entry_that_a_dead_process_cut_short_is_skipped(tmp_path: Path) -> None:
    folder.prepare(tmp_path)
    (folder.of_test(tmp_path, "t.py::test_a") / entry.NAME).write_text('{"node": ')
    place = folder.of_test(tmp_path, "t.py::test_b")
    of(node="t.py::test_b").write(place)
    assert [each.node for each in entry.read_all(tmp_path / folder.TESTS)] == ["t.py::test_b"]
