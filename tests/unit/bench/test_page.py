"""The page of a bench: bars as long as their medians, dots for rounds, every text escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.bench.test_bench import MACHINE, result
from windtunnel.bench import page
from windtunnel.bench.measurements import Round


def test_the_longest_round_of_a_figure_fills_the_width_and_the_other_bars_are_in_proportion() -> (
    None
):
    [row] = page.rows(result([5.0, 4.0, 6.0], [45.0, 40.0, 50.0]))
    ours, stock = row.bars
    assert (ours.width, ours.low, ours.high) == (9.8, 7.84, 11.76)
    assert (stock.width, stock.dots) == (88.2, [88.2, 78.4, 98.0])
    assert (ours.text, row.ratio) == ("5.00 s (4.00 to 6.00)", "9.00x")


def test_a_figure_that_was_not_measured_has_no_bar() -> None:
    found = result([], [])
    assert page.rows(found) == []
    assert "Nothing was measured" in page.text(found)
    [row] = page.rows(result([0.0], []))
    assert (row.ratio, [bar.stack for bar in row.bars]) == ("", ["windtunnel"])


def test_the_page_names_the_machine_and_the_processes_and_loads_nothing() -> None:
    found = result([5.0], [45.0])
    found.rounds["windtunnel"].append(Round({"chain": 4.0}, {"memory": {"scheduler": 120.0}}))
    text = page.text(found)
    assert "scheduler" in text and "120" in text and "23.5" in text and "3.3.2" in text
    assert "2 rounds of windtunnel and 1 round of stock" in " ".join(text.split())
    assert not re.search(r"src=|@import|url\(|<script|<link|https?://", text)


def test_what_an_interrupted_bench_has_is_shown_and_said(tmp_path: Path) -> None:
    page.write(tmp_path / "bench.html", result([5.0], []), interrupted=True)
    text = (tmp_path / "bench.html").read_text()
    assert "Interrupted" in text and "5.00 s" in text


def test_every_text_is_escaped() -> None:
    odd = "<img src=x onerror=alert(1)> \"'&"
    machine: dict[str, Any] = MACHINE | {"processor": odd, "exported_airflow_settings": [odd]}
    found = result([5.0], [])
    found.machine = machine | {"versions": MACHINE["versions"] | {"valkey": odd}}
    found.figures = {name: replace(f, title=odd) for name, f in found.figures.items()}
    found.rounds["windtunnel"][0].details["memory"] = {odd: 1.0}
    text = page.text(found)
    assert "<img" not in text and text.count("alert(1)&gt;") >= 4
