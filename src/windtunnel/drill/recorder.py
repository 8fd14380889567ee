"""Watches a stack while a scenario plays on it. Asks four times a second, which costs little."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import cast

from windtunnel.clients.airflow import moment
from windtunnel.drill.cluster import LocalStack
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.log_lines import LogLines
from windtunnel.drill.recording import Recording, Try, label
from windtunnel.drill.watched import Watched
from windtunnel.errors import WindtunnelError

EVERY = 0.25
#: Runs of one scenario whose tasks are asked for at its end.
MOST_RUNS = 60


class Recorder:
    """Records while the block lasts; `recording` is whole after it.

    `watched` is the cluster for the scenario: it notes every act.
    """

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.recording = Recording(time.time())
        self.watched = cast(LocalStack, Watched(cluster, self.recording))
        self._lines = LogLines(cluster.settings, self.recording, cluster.component)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._known: set[str] = set()

    def __enter__(self) -> Recorder:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self.recording.ended = time.time()
        self.recording.tries = self.recording.copies(self.cluster.marks())
        if kind is None or issubclass(kind, Exception):
            _ask_airflow(self.cluster, self.recording)

    def _go(self) -> None:
        while not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        try:
            self._note_all()
        except Exception as error:  # whatever it is, the scenario counts
            note = f"a look at the stack failed: {type(error).__name__}: {error}"
            if note not in self.recording.notes:
                self.recording.notes.append(note)

    def _note_all(self) -> None:
        states = self.cluster.states()
        self._known |= set(states)
        away = dict.fromkeys(self._known - set(states), "away")
        self.recording.saw(states | away, time.time())
        self._lines.read()


def _ask_airflow(cluster: LocalCluster, recording: Recording) -> None:
    """Add what Airflow records of each try."""
    runs = list(recording.runs)
    if len(runs) > MOST_RUNS:
        recording.notes.append(f"Airflow was asked about the first {MOST_RUNS} runs only")
    copies: dict[tuple[str, str, str, int], list[Try]] = {}
    for copy in recording.tries:
        copies.setdefault(copy.name, []).append(copy)
    for dag_id, run_id in runs[:MOST_RUNS]:
        try:
            found = list(_tries(cluster, dag_id, run_id))
        except WindtunnelError as error:
            recording.notes.append(f"{dag_id} {run_id} cannot be had: {error}")
            return
        for each in found:
            if each.name not in copies:
                recording.tries.append(each)
            for copy in copies.get(each.name, []):
                copy.state = each.state


def _tries(cluster: LocalCluster, dag_id: str, run_id: str) -> Iterator[Try]:
    for task in cluster.airflow.task_instances(dag_id, run_id):
        several = task.try_number > 1 or task.state == "up_for_retry"
        tries = cluster.airflow.task_tries(dag_id, run_id, task) if several else [task]
        for each in tries:
            yield Try(
                dag_id,
                run_id,
                label(each.task_id, each.map_index),
                each.try_number,
                # One that failed before it began has only the time at which it was queued.
                began=moment(each.start_date or each.queued_when),
                ended=moment(each.end_date),
                state=each.state or "",
            )
