"""The reconciler's view of Airflow's database: a few rows read, two time stamps aged, old Celery results deleted."""

from __future__ import annotations

import os
from typing import Any

import psycopg2

#: Any number that nobody else uses as an advisory lock in this database.
LOCK = 7_305_140_611
#: A result is of use until the scheduler has seen it, seconds later; Flower and people look a little longer.
KEEP_RESULTS_SECONDS = int(os.environ.get("WINDTUNNEL_KEEP_RESULTS_SECONDS") or 86400)
#: A queued task without a message for this long is suspicious.
QUEUED_SECONDS = 20.0
BATCH = 1000
#: Older than any task_instance_heartbeat_timeout; once.
_AGE = (
    "UPDATE task_instance SET last_heartbeat_at = coalesce(last_heartbeat_at, now()) - interval '10 years'"
    " WHERE state IN ('running', 'restarting') AND coalesce(last_heartbeat_at, now()) > now() - interval '5 years'"
)
#: A scheduler writes its heartbeat every 5 s.
SILENT_SCHEDULER_SECONDS = 12.0


class Database:
    """One connection, in autocommit. Every method raises psycopg2.Error while the database is away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Any = None
        self.leading = False

    def drop(self) -> None:
        """After trouble: the next call connects afresh, and the lock must be won again."""
        if self.connection is not None:
            self.connection.close()
        self.connection, self.leading = None, False

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.connection is None:
            self.connection = psycopg2.connect(
                self.url,
                connect_timeout=3,
                application_name="windtunnel reconciler",
                options="-c statement_timeout=20000 -c lock_timeout=5000",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
            )
            self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else [(cursor.rowcount,)]

    def lead(self) -> bool:
        """Whether this is the one reconciler of this database. Held as long as the connection; asked once per connection."""
        if not self.leading:
            self.leading = bool(self._rows("SELECT pg_try_advisory_lock(%s)", LOCK)[0][0])
        return self.leading

    def scheduler_age(self) -> float | None:
        """Seconds since the most recent heartbeat of any scheduler; None where none runs."""
        sql = "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'"
        age = self._rows(sql)[0][0]
        return None if age is None else float(age)

    def job_ages(self) -> dict[str, float]:
        """Seconds since the most recent heartbeat by job type, such as DagProcessorJob."""
        sql = "SELECT job_type, extract(epoch FROM now() - max(latest_heartbeat)) FROM job WHERE state = 'running' GROUP BY job_type"
        return {name: float(age) for name, age in self._rows(sql) if age is not None}

    def age_heartbeat(self, task_id: str, names: tuple[str, str], noted: float) -> str | None:
        """The state of the task instance with this Celery id; a running one gets a heartbeat of ten years ago.

        The scheduler then handles it as one without heartbeat: callbacks, retry or failure, slot (scheduler_job_runner.py,
        `_find_and_purge_task_instances_without_heartbeats`). The same message may have been delivered again and run elsewhere:
        that run began after the loss was noted, or on another worker, and is left alone.
        """
        rows = self._rows(
            "SELECT state, hostname IN (%s, %s, '') AND start_date <= to_timestamp(%s) FROM task_instance"
            " WHERE external_executor_id = %s AND state IS NOT NULL",
            *names,
            noted,
            task_id,
        )
        if not rows:
            return None
        state, same = rows[0]
        if state not in ("running", "restarting"):
            return str(state)
        if not same:
            return "running elsewhere"
        self._rows(_AGE + " AND external_executor_id = %s", task_id)
        return "running"

    def running(self) -> dict[str, tuple[str, str]]:
        """Id of each running task instance -> its last heartbeat as text, what it is called."""
        sql = (
            "SELECT id::text, coalesce(last_heartbeat_at::text, ''), dag_id || '.' || task_id || ' (run ' || run_id || ')'"
            " FROM task_instance WHERE state IN ('running', 'restarting')"
            " AND coalesce(last_heartbeat_at, now()) > now() - interval '5 years'"
        )
        return {key: (beat, name) for key, beat, name in self._rows(sql)}

    def age_silent(self, key: str, beat: str) -> bool:
        """As `age_heartbeat`, of a task instance by its own id; False where it has written a heartbeat or ended meanwhile."""
        return bool(self._rows(_AGE + " AND id::text = %s AND coalesce(last_heartbeat_at::text, '') = %s", key, beat)[0][0])

    def callback_state(self, key: str) -> str | None:
        """Of an executor callback, by the id in its workload; None where it, or Airflow's table, does not exist."""
        if self._rows("SELECT to_regclass('callback')")[0][0] is None:
            return None
        rows = self._rows("SELECT state FROM callback WHERE id::text = %s", key)
        return str(rows[0][0]) if rows else None

    def queued(self) -> dict[str, str]:
        """Celery id -> queue of the task instances that should have a message."""
        sql = (
            "SELECT external_executor_id, queue FROM task_instance WHERE state = 'queued'"
            " AND queued_dttm < now() - %s * interval '1 second' AND queued_dttm > now() - interval '5 years'"
            " AND external_executor_id IS NOT NULL"
        )
        return dict(self._rows(sql, QUEUED_SECONDS))

    def age_queued(self, task_id: str) -> str | None:
        """Makes a queued task instance older than any task_queued_timeout: `_handle_tasks_stuck_in_queued` queues it again."""
        rows = self._rows(
            "UPDATE task_instance SET queued_dttm = queued_dttm - interval '10 years'"
            " WHERE state = 'queued' AND external_executor_id = %s AND queued_dttm > now() - interval '5 years'"
            " RETURNING dag_id || '.' || task_id || ' (run ' || run_id || ')'",
            task_id,
        )
        return rows[0][0] if rows else None

    def age_dead_schedulers(self, alive: int | None) -> int:
        """Jobs of schedulers that are certainly dead lose their heartbeat, so that the next adoption check takes their tasks.

        Certain are those that were silent since before PostgreSQL started (a scheduler ends when its database does), and,
        where `alive` scheduler processes run on this only machine, the most silent ones beyond that number.
        """
        rows = self._rows(
            "SELECT id, latest_heartbeat < pg_postmaster_start_time() FROM job WHERE job_type = 'SchedulerJob'"
            " AND state = 'running' ORDER BY latest_heartbeat DESC"
        )
        certain = [r[0] for i, r in enumerate(rows) if r[1] or (alive is not None and i >= max(1, alive))]
        if not certain:
            return 0
        return int(
            self._rows(
                "UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 day' WHERE id = ANY(%s)"
                " AND latest_heartbeat < now() - %s * interval '1 second' AND latest_heartbeat > now() - interval '20 hours'",
                certain,
                SILENT_SCHEDULER_SECONDS,
            )[0][0]
        )

    def finished(self, task_ids: list[str]) -> list[str]:
        """Those of the given Celery tasks whose end was recorded a minute ago or more."""
        if not task_ids:
            return []
        sql = (
            "SELECT task_id FROM celery_taskmeta WHERE task_id = ANY(%s) AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')"
            " AND date_done < localtimestamp - interval '1 minute'"
        )
        return [row[0] for row in self._rows(sql, task_ids)]

    def forget_result(self, task_id: str) -> None:
        """A dead worker's STARTED row would stay for ever."""
        self._rows("DELETE FROM celery_taskmeta WHERE task_id = %s AND status = 'STARTED'", task_id)

    def delete_old_results(self) -> int:
        """Celery's result table has no other broom (Airflow runs no beat). Deleted in batches; those of live tasks are kept.

        `date_done` is local time of the database's session, as Celery's own sessions write it (a column without time zone).
        """
        total: int = 0
        while True:
            count = self._rows(
                "DELETE FROM celery_taskmeta WHERE id IN (SELECT id FROM celery_taskmeta c"
                " WHERE date_done < localtimestamp - %s * interval '1 second' AND NOT EXISTS"
                " (SELECT 1 FROM task_instance t WHERE t.external_executor_id = c.task_id AND t.state IN ('queued', 'running'))"
                " LIMIT %s)",
                KEEP_RESULTS_SECONDS,
                BATCH,
            )[0][0]
            total += int(count)
            if count < BATCH:
                return total
