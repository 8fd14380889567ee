"""What a rehearsal found: as a table, as JSON, as a JUnit file."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # only writes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.drill.cluster import Check
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


@dataclass(frozen=True)
class Rehearsal:
    """A scenario on this stack, and beside it on one with Airflow's own settings."""

    ours: Outcome
    stock: Outcome | None = None


def paired(each: Rehearsal) -> list[tuple[str, Check | None, Check | None]]:
    """Each promise once: its words, and what was seen on both stacks.

    A stack on which the scenario ended early lacks the later promises.
    """
    left = list(each.stock.checks) if each.stock else []
    rows: list[tuple[str, Check | None, Check | None]] = []
    for check in each.ours.checks:
        same = next((other for other in left if other.promised == check.promised), None)
        if same is not None:
            left.remove(same)
        rows.append((check.promised, check, same))
    return rows + [(check.promised, None, check) for check in left]


def render(each: Rehearsal) -> RenderableType:
    """Promised and seen, side by side; with stock's, where it was played there too."""
    outcome, stock = each.ours, each.stock
    scenario = outcome.scenario
    table = Table(
        title=f"{scenario.name}: {scenario.title} (row {scenario.row}, {outcome.seconds:.0f} s)",
        title_justify="left",
        expand=False,
    )
    beside = stock is not None and not stock.skipped
    for column in ("promised", "seen"):
        table.add_column(column, overflow="fold")
    table.add_column("")
    if beside:
        table.add_column("with Airflow's own settings", overflow="fold")
        table.add_column("")
    for promised, ours, theirs in paired(each):
        cells = _cells(ours) + (_cells(theirs) if beside else [])
        table.add_row(Text(promised), *cells)
    captions = [f"skipped: {outcome.skipped}"] if outcome.skipped else []
    if stock is not None and stock.skipped:
        captions.append(f"not with Airflow's own settings: {stock.skipped}")
    table.caption = "\n".join(captions) or None
    return table


def _cells(check: Check | None) -> list[Text]:
    if check is None:
        return [Text("-"), Text("")]
    return [Text(check.seen), Text("pass", "green") if check.ok else Text("fail", "bold red")]


def as_json(found: list[Rehearsal], airflow: str) -> dict[str, Any]:
    """What `--json` prints; seconds are those of each whole rehearsal. `ok` counts only ours.

    Args:
        airflow: the stack's version of Airflow.
    """
    rows = []
    for each in found:
        scenario = each.ours.scenario
        row: dict[str, Any] = {
            "scenario": scenario.name,
            "row": scenario.row,
            "title": scenario.title,
        }
        row |= _played(each.ours)
        if each.stock is not None:
            row["stock"] = _played(each.stock)
        rows.append(row)
    well = all(each.ours.ok for each in found)
    return {"version": 1, "airflow": airflow, "ok": well, "scenarios": rows}


def _played(outcome: Outcome) -> dict[str, Any]:
    return {
        "ok": outcome.ok,
        "skipped": outcome.skipped or None,
        "seconds": round(outcome.seconds, 1),
        "checks": [
            {"promised": check.promised, "seen": check.seen, "ok": check.ok}
            for check in outcome.checks
        ],
    }


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
