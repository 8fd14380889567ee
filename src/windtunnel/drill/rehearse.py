"""`windtunnel drill`: break a part of the running stack, show promised and seen, and heal it."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.report import render
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome, Scenario, play
from windtunnel.drill.steps import log
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import run_dag
from windtunnel.stack.locks import exclusive
from windtunnel.stack.say import say

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
        NoStackError: nothing runs. UsageError: the stack lacks our DAGs, or other runs are active
            and `yes` was not said.
        KeyboardInterrupt: after healing.
    """
    console = console or Console(stderr=True)
    process_compose.require(settings)
    airflow = Airflow(settings)
    require_dags(settings, airflow)
    active = [] if yes else airflow.active_runs()
    if active:
        dag_id, run_id = active[0][:2]
        raise UsageError(
            f"{len(active)} DAG run(s) are active, such as {dag_id} {run_id}, "
            "and a rehearsal breaks what they run on: "
            "wait for their end, or add --yes"
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


def require_dags(settings: Settings, airflow: Airflow) -> None:
    """Return when every DAG of the rehearsals can be triggered; refuse at once where one is not.

    Raises:
        UsageError: the DAG folder lacks one. WindtunnelError: one is paused, or cannot be imported.
    """
    missing = []
    for dag_id in DAGS:
        dag = airflow.dag(dag_id)
        # Airflow remembers the DAGs of a former DAG folder as stale.
        known = dag is not None and not dag.get("is_stale")
        if not known and not (settings.dags / f"{dag_id}.py").is_file():
            missing.append(dag_id)
    if missing:
        raise UsageError(
            "the rehearsals run windtunnel's own DAGs, "
            f"and this stack's DAG folder {settings.dags} lacks {', '.join(missing)}: "
            "start a stack without DAGS_FOLDER, or copy them from the project's dags/"
        )
    for dag_id in DAGS:
        # A stack that has just started has not read them yet.
        run_dag.find_dag(settings, airflow, dag_id, say)


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
    with console.status(scenario.title) as status, _Progress(status, scenario):
        try:
            outcome = play(scenario, cluster, **options)
        except BaseException:
            console.print("interrupted: the drill repairs the stack, then ends", highlight=False)
            _heal(cluster, status)
            raise
        if wrong := _heal(cluster, status):
            raise WindtunnelError(
                f"after {scenario.name} the stack did not recover: "
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


class _Progress(logging.Handler):
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


def code(outcomes: list[Outcome]) -> Exit:
    return Exit.OK if outcomes and all(outcome.ok for outcome in outcomes) else Exit.FAILED
