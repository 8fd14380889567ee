"""DAG runs on a private stack: created by its API, followed in its database."""

from __future__ import annotations

import time
from pathlib import Path

from windtunnel.bench.watch import Times, Watch
from windtunnel.clients.airflow import Airflow
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings

READ_SECONDS = 120.0
RUN_SECONDS = 900.0
POLL_SECONDS = 0.05


class Runs:
    """Runs since one start of a stack."""

    def __init__(self, settings: Settings, watch: Watch) -> None:
        self._airflow, self._watch = Airflow(settings), watch
        self._has_token = False

    def read(self, folder: Path, since: float) -> None:
        """Return when every DAG file was read since then.

        Raises `WindtunnelError` when that takes too long.
        """
        for path in sorted(folder.glob("*.py")):
            self._known(path.stem, since)

    def _known(self, dag_id: str, since: float = 0.0) -> None:
        deadline = time.monotonic() + READ_SECONDS
        while not self._watch.known(dag_id, since):
            if time.monotonic() > deadline:
                raise WindtunnelError(
                    f"the private stack did not read {dag_id} within {READ_SECONDS:.0f} s",
                )
            time.sleep(POLL_SECONDS)

    def trigger(self, dag_id: str) -> tuple[str, float]:
        """Create a run by the API; its id, and the Unix time just before."""
        self._known(dag_id)
        if not self._has_token:
            self._airflow.dag(dag_id)  # fetches it, which is no part of what is timed
            self._has_token = True
        posted = time.time()
        return self._airflow.trigger(dag_id), posted

    def run(self, dag_id: str) -> Times:
        """Trigger and wait for success. Raises `WindtunnelError` on failure or timeout."""
        run_id, posted = self.trigger(dag_id)
        return self._watch.ended(dag_id, run_id, posted, RUN_SECONDS)

    def together(self, dag_id: str, count: int) -> float:
        """Trigger several runs of one DAG; seconds from the first call to the last end.

        Raises as `run` does.
        """
        made = [self.trigger(dag_id) for _ in range(count)]
        return (
            max(
                self._watch.ended(dag_id, run_id, posted, RUN_SECONDS).ended
                for run_id, posted in made
            )
            - made[0][1]
        )
