"""What a rehearsal found: as a table, as JSON, as a JUnit file."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # only writes
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome
from windtunnel.errors import WindtunnelError


def listing() -> RenderableType:
    """Every scenario; those with a star run only when they are named."""
    table = Table(box=None, pad_edge=False)
    for column in ("scenario", "row", "what is rehearsed"):
        table.add_column(column, overflow="fold", no_wrap=column == "scenario")
    for scenario in SCENARIOS.values():
        table.add_row(
            scenario.name + ("*" if scenario.asked_for else ""),
            scenario.row,
            scenario.title,
        )
    table.caption = "* only when named"
    return table


def listing_as_json() -> dict[str, Any]:
    """What `--list --json` prints; `by_default` is false for those that must be named."""
    rows = [
        {"scenario": s.name, "row": s.row, "title": s.title, "by_default": not s.asked_for}
        for s in SCENARIOS.values()
    ]
    return {"version": 1, "scenarios": rows}


def render(outcome: Outcome) -> RenderableType:
    """Promised and seen, side by side."""
    scenario = outcome.scenario
    table = Table(
        title=f"{scenario.name}: {scenario.title} (row {scenario.row}, {outcome.seconds:.0f} s)",
        title_justify="left",
        expand=False,
    )
    for column in ("promised", "seen"):
        table.add_column(column, overflow="fold")
    table.add_column("")
    for check in outcome.checks:
        verdict = Text("pass", "green") if check.ok else Text("fail", "bold red")
        table.add_row(Text(check.promised), Text(check.seen), verdict)
    if outcome.skipped:
        table.caption = f"skipped: {outcome.skipped}"
    return table


def as_json(outcomes: list[Outcome]) -> dict[str, Any]:
    """What `--json` prints; seconds are those of each whole rehearsal."""
    rows = [
        {
            "scenario": o.scenario.name,
            "row": o.scenario.row,
            "title": o.scenario.title,
            "ok": o.ok,
            "skipped": o.skipped or None,
            "seconds": round(o.seconds, 1),
            "checks": [asdict(check) for check in o.checks],
        }
        for o in outcomes
    ]
    return {"version": 1, "ok": all(o.ok for o in outcomes), "scenarios": rows}


def write_junit(path: Path, outcomes: list[Outcome]) -> None:
    """Write one test case per scenario, with its broken promises as the text of the failure.

    Raises `WindtunnelError` where the file cannot be written.
    """
    failures = [o for o in outcomes if not o.ok]
    suite = ET.Element(
        "testsuite",
        name="windtunnel drill",
        tests=str(len(outcomes)),
        failures=str(len(failures)),
        errors="0",
        skipped=str(sum(bool(o.skipped) for o in outcomes)),
    )
    suite.set("time", f"{sum(o.seconds for o in outcomes):.1f}")
    for outcome in outcomes:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"row {outcome.scenario.row}",
            name=outcome.scenario.name,
        )
        case.set("time", f"{outcome.seconds:.1f}")
        broken = [f"{check.promised}: {check.seen}" for check in outcome.checks if not check.ok]
        if not outcome.ok:
            first = broken[0] if broken else "nothing was checked"
            ET.SubElement(case, "failure", message=first).text = "\n".join(broken)
        if outcome.skipped:
            ET.SubElement(case, "skipped", message=outcome.skipped)
        seen = [f"{check.promised}: {check.seen}" for check in outcome.checks]
        ET.SubElement(case, "system-out").text = "\n".join(seen)
    try:
        ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise WindtunnelError(f"cannot write {path}: {error.strerror}") from None
