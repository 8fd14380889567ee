"""`windtunnel drill`: break a part of the running stack, show promised and seen, and heal it."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
import time
import xml.etree.ElementTree as ET  # only writes
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome, Scenario, play
from windtunnel.drill.steps import log
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack.locks import exclusive

#: What the scenarios run.
DAGS = ("steady", "retry", "load", "memory")


def choose(names: list[str], soak_minutes: float | None) -> list[Scenario]:
    """The scenarios meant by a command line. Raises `UsageError`."""
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise UsageError(f"there is no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    if soak_minutes is not None and "soak" not in names:
        names = [*names, "soak"]
    if not names:
        return [scenario for scenario in SCENARIOS.values() if not scenario.asked_for]
    return [SCENARIOS[name] for name in names]


def drill(
    settings: Settings,
    scenarios: list[Scenario],
    *,
    yes: bool = False,
    soak_minutes: float | None = None,
    seed: int = 1,
    console: Console | None = None,
) -> list[Outcome]:
    """Rehearse one after the other; the stack is healed after each, also on Ctrl-C.

    Raises:
        NoStackError: nothing runs. UsageError: other runs are active and `yes` was not said.
        KeyboardInterrupt: after healing.
    """
    console = console or Console(stderr=True)
    process_compose.require(settings)
    active = [] if yes else Airflow(settings).active_runs()
    if active:
        dag_id, run_id = active[0][:2]
        raise UsageError(
            f"{len(active)} DAG run(s) are active, such as {dag_id} {run_id}, "
            "and a rehearsal breaks what they run on: "
            "wait for their end, or say --yes"
        )
    airflow = Airflow(settings)
    if missing := [dag_id for dag_id in DAGS if airflow.dag(dag_id) is None]:
        raise UsageError(
            "the rehearsals run windtunnel's own DAGs, "
            f"and this stack's DAG folder {settings.dags} lacks {', '.join(missing)}: "
            "start a stack without DAGS_FOLDER, or copy them from the project's dags/"
        )
    # A folder of its own: tasks of an interrupted drill go on for a while and must not make the
    # file again.
    folder = Path(tempfile.mkdtemp(prefix="drill-", dir=settings.run))
    marks = folder / "marks.jsonl"
    marks.touch(0o600)
    outcomes: list[Outcome] = []
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with exclusive(settings, _busy, "drill"):
            for scenario in scenarios:
                options: dict[str, Any] = {}
                if scenario.name == "soak":
                    options["seed"] = seed
                    if soak_minutes is not None:
                        options["minutes"] = soak_minutes
                outcomes.append(_one(settings, scenario, marks, console, options))
                console.print(render(outcomes[-1]))
    finally:
        signal.signal(signal.SIGTERM, former)
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def _busy() -> None:
    raise UsageError("another drill is breaking this stack: wait for its end")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _one(
    settings: Settings,
    scenario: Scenario,
    marks: Path,
    console: Console,
    options: dict[str, Any],
) -> Outcome:
    cluster = LocalCluster(settings, marks)
    with console.status(scenario.title) as status, _Told(status, scenario):
        try:
            outcome = play(scenario, cluster, **options)
        except BaseException:
            console.print("interrupted: healing what was broken", highlight=False)
            _heal(cluster, status)
            raise
        if wrong := _heal(cluster, status):
            raise WindtunnelError(
                f"after {scenario.name} the stack did not become whole again: "
                f"{', '.join(wrong)}; see `windtunnel status`",
            )
    return outcome


def _heal(cluster: LocalCluster, status: Status) -> list[str]:
    """A second Ctrl-C must not leave the stack half healed."""
    status.update("healing")
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return cluster.heal()
    finally:
        signal.signal(signal.SIGINT, former)


class _Told(logging.Handler):
    """Shows what a scenario waits for in the line that spins, while the block lasts."""

    def __init__(self, status: Status, scenario: Scenario) -> None:
        super().__init__()
        self.status, self.name_shown, self.began = status, scenario.name, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self.status.update(
            Text(
                f"{self.name_shown} ({time.monotonic() - self.began:.0f} s): {record.getMessage()}",
            )
        )

    def __enter__(self) -> None:
        log.setLevel(logging.INFO)
        log.addHandler(self)
        log.propagate = False

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)


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


def code(outcomes: list[Outcome]) -> Exit:
    return Exit.OK if outcomes and all(outcome.ok for outcome in outcomes) else Exit.FAILED
