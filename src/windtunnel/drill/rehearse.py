"""`windtunnel drill`: break a part of the running stack, show promised and seen, and heal it."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.status import Status

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.playing import Interrupted, Progress, played
from windtunnel.drill.report import Rehearsal, render
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome, Scenario
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings, recorded_airflow
from windtunnel.stack import run_dag
from windtunnel.stack.locks import exclusive
from windtunnel.stack.say import say

#: What the scenarios run.
DAGS = ("steady", "retry", "load", "memory")

Told = Callable[[list[Rehearsal]], None]
#: Gets the scenario, the console, and whether to record.
Beside = Callable[[Scenario, Console, bool], Outcome]


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
    beside: Beside | None = None,
    told: Told | None = None,
) -> list[Rehearsal]:
    """Rehearse one after the other; the stack is healed after each, also on Ctrl-C.

    Args:
        beside: plays a scenario on another stack, after it was played on this one.
        told: gets all that was found so far, after each scenario and when it is interrupted. With
            it each scenario is recorded.

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
    if version := recorded_airflow(settings.state):
        console.print(f"Airflow {version}, state folder {settings.state}", soft_wrap=True)
    # A folder of its own: tasks of an interrupted drill go on for a while and must not make the
    # file again.
    folder = Path(tempfile.mkdtemp(prefix="drill-", dir=settings.run))
    marks = folder / "marks.jsonl"
    marks.touch(0o600)
    found: list[Rehearsal] = []
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with exclusive(settings, _busy, "drill"):
            for scenario in scenarios:
                options: dict[str, Any] = {}
                if scenario.name == "soak":
                    options["seed"] = seed
                    if soak_minutes is not None:
                        options["minutes"] = soak_minutes
                try:
                    found.append(
                        Rehearsal(_one(settings, scenario, marks, console, options, bool(told)))
                    )
                    if told:
                        told(found)
                    if beside:
                        theirs = beside(scenario, console, bool(told))
                        found[-1] = Rehearsal(found[-1].ours, theirs)
                except Interrupted as interrupted:
                    _note(found, interrupted.outcome)
                    raise interrupted.cause from None
                finally:
                    if told:
                        told(found)
                console.print(render(found[-1]))
    finally:
        signal.signal(signal.SIGTERM, former)
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _note(found: list[Rehearsal], interrupted: Outcome) -> None:
    """What an interrupted scenario found; the second time it is the other stack's."""
    last = found[-1] if found else None
    if last is not None and last.ours.scenario == interrupted.scenario:
        found[-1] = Rehearsal(last.ours, interrupted)
    else:
        found.append(Rehearsal(interrupted))


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
    record: bool,
) -> Outcome:
    cluster = LocalCluster(settings, marks)
    with console.status(scenario.title) as status, Progress(status, scenario.name):
        try:
            outcome = played(scenario, cluster, options, record)
        except Interrupted:
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


def code(found: list[Rehearsal]) -> Exit:
    """Of what the user's own stack kept: another one beside it does not count."""
    return Exit.OK if found and all(each.ours.ok for each in found) else Exit.FAILED
