"""What tests have changed, and its undoing: runs end, paused DAGs go on, workers are as many again.

A change lasts as long as the test that made it, or the fixture of a wider scope. Each one has a
note: where this process is killed, the next session of the stack undoes it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from windtunnel.clients.airflow import Airflow, ApiError
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import scale
from windtunnel.testing import faults, notes
from windtunnel.testing.notes import Facts, Note
from windtunnel.testing.results import ENDED

#: In the stack's `run`: one note for each change.
FOLDER = "changed"

Change = tuple[Facts, Note]


class Changes:
    """The changes that are not undone yet, oldest first."""

    def __init__(self, settings: Settings, airflow: Airflow) -> None:
        self._settings, self._airflow = settings, airflow
        self._open: list[Change] = []

    def __len__(self) -> int:
        return len(self._open)

    def run(self, dag_id: str, run_id: str) -> None:
        """A test has started a run. One that goes on would take a slot of the next test."""
        self._note({"dag_id": dag_id, "run_id": run_id})

    def paused(self, dag_id: str, former: bool) -> None:
        """A test has paused a DAG, or let its runs go on."""
        self._note({"dag_id": dag_id, "is_paused": former})

    def workers(self, former: int) -> None:
        """A test has changed the number of workers."""
        self._note({"workers": former})

    def _note(self, facts: Facts) -> None:
        self._open.append((facts, Note(self._settings.run, FOLDER, facts)))

    def take(self, mark: int) -> list[Change]:
        """The changes since there were `mark` of them; who takes them undoes them."""
        taken = self._open[mark:]
        del self._open[mark:]
        return taken

    def undo(self, changes: list[Change]) -> None:
        """Undo changes, the newest first.

        Raises:
            WindtunnelError: one could not be undone; the others are.
        """
        trouble: WindtunnelError | None = None
        for facts, note in reversed(changes):
            try:
                _undo(self._settings, self._airflow, facts)
                note.remove()
            except WindtunnelError as error:
                # A run without a scheduler or an API server harms nobody, and is noted.
                trouble = trouble if "run_id" in facts else error
        if trouble:
            raise trouble


def bring_back(settings: Settings, airflow: Airflow | None = None) -> None:
    """Undo what killed processes have left changed."""
    for facts in notes.left(settings.run, FOLDER):
        _undo(settings, airflow or Airflow(settings), facts)


def _undo(settings: Settings, airflow: Airflow, facts: dict[str, Any]) -> None:
    if count := facts.get("workers"):
        scale.scale(settings, count)
        faults.wait_for_workers(settings)
        return
    # The DAG or the run may be gone.
    with suppress(ApiError):
        if "is_paused" in facts:
            airflow.change_dag(facts["dag_id"], is_paused=facts["is_paused"])
        elif airflow.run_state(facts["dag_id"], facts["run_id"]) not in ENDED:
            airflow.fail_run(facts["dag_id"], facts["run_id"])
