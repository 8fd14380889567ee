"""Where the report of a failed test looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from windtunnel.settings import Settings, is_running, load
from windtunnel.testing.journal import Fault, Started
from windtunnel.testing.report import logs
from windtunnel.testing.runs import name_in_ids


@dataclass
class Source:
    """Where to look. `settings` is None for a stack that did not start."""

    state: Path
    settings: Settings | None
    begun: logs.Positions = field(default_factory=dict)
    runs: Sequence[Started] = ()
    faults: Sequence[Fault] = ()
    #: Secrets of the tests themselves.
    secrets: Sequence[str] = ()
    #: The output of the start, for a stack that did not start.
    up_log: Path | None = None


def of_dead_process(node: str, state: Path, began: float, positions: logs.Positions) -> Source:
    """The source for a test whose process died: its runs are found by their names.

    The first log of its tasks makes a folder of that name.
    """
    name = name_in_ids(node)
    found = []
    for run in (state / "logs" / "tasks").glob("dag_id=*/run_id=*"):
        when = run.stat().st_ctime
        run_id = run.name.removeprefix("run_id=")
        if run_id.rpartition("__")[0] == name and when >= began:
            found.append(Started(run.parent.name.removeprefix("dag_id="), run_id, when))
    settings = load({"WINDTUNNEL_STATE": str(state)}) if is_running(state) else None
    return Source(state, settings, positions, sorted(found, key=lambda run: run.time))
