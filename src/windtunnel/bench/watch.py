"""Reads both private stacks' progress from their databases, beside their API servers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg2

from windtunnel.clients.postgres import libpq_url
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings

POLL_SECONDS = 0.1
JOBS = frozenset({"SchedulerJob", "DagProcessorJob", "TriggererJob"})


@dataclass(frozen=True)
class Times:
    """Unix seconds of one run by this machine's clock. `posted` is just before the API call."""

    posted: float
    first_start: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.posted


class Watch:
    """One connection in autocommit, opened when first needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: Any = None

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Raises psycopg2.Error while the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(
                libpq_url(self.settings),
                connect_timeout=2,
                application_name="bench",
            )
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def beating(self, since: float) -> bool:
        """Whether scheduler, dag-processor and triggerer have written a heartbeat since then."""
        sql = (
            "SELECT DISTINCT job_type FROM job "
            "WHERE state = 'running' AND latest_heartbeat > to_timestamp(%s)"
        )
        return {job for (job,) in self.rows(sql, since)} >= JOBS

    def known(self, dag_id: str, since: float = 0.0) -> bool:
        """Whether the DAG can be triggered and was read since then."""
        sql = (
            "SELECT 1 FROM dag WHERE dag_id = %s AND NOT is_stale AND NOT is_paused "
            "AND last_parsed_time > to_timestamp(%s)"
        )
        return bool(self.rows(sql, dag_id, since))

    def ended(self, dag_id: str, run_id: str, posted: float, timeout: float) -> Times:
        """Waits for a run's end. Raises `WindtunnelError` where it fails or takes longer."""
        sql = (
            "SELECT state, extract(epoch FROM end_date) FROM dag_run "
            "WHERE dag_id = %s AND run_id = %s"
        )
        deadline = time.monotonic() + timeout
        while True:
            state, end = (self.rows(sql, dag_id, run_id) or [(None, None)])[0]
            if state == "success":
                first = (
                    "SELECT extract(epoch FROM min(start_date)) FROM task_instance "
                    "WHERE dag_id = %s AND run_id = %s"
                )
                return Times(posted, float(self.rows(first, dag_id, run_id)[0][0]), float(end))
            if state == "failed" or time.monotonic() > deadline:
                what = "failed" if state == "failed" else f"did not end within {timeout:.0f} s"
                raise WindtunnelError(
                    f"the run of {dag_id} {what}, so there is no figure: "
                    f"{self._counts(dag_id, run_id)}",
                )
            time.sleep(POLL_SECONDS)

    def _counts(self, dag_id: str, run_id: str) -> str:
        sql = (
            "SELECT coalesce(state, 'none'), count(*) FROM task_instance "
            "WHERE dag_id = %s AND run_id = %s GROUP BY 1 ORDER BY 1"
        )
        return ", ".join(f"{count} {state}" for state, count in self.rows(sql, dag_id, run_id))
