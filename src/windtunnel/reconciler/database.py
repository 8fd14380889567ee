"""The reconciler's view of Airflow's database.

It reads a few rows, moves two timestamps back, and deletes old Celery results. Over 200 lines,
because all SQL of the reconciler is here.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2

#: Any number that nobody else uses as an advisory lock in this database.
LOCK = 7_305_140_611
#: A task's `start_date` is at most this much later than its entry in the worker's ledger.
BEGIN_SECONDS = 10.0
#: The scheduler needs a result for seconds; Flower and people look at it a little longer.
KEEP_RESULTS_SECONDS = int(os.environ.get("WINDTUNNEL_KEEP_RESULTS_SECONDS") or 86400)
#: A queued task without a message for this long is suspicious.
QUEUED_SECONDS = 20.0
BATCH = 1000
#: Older than any task_instance_heartbeat_timeout; once.
_AGE = """UPDATE task_instance
SET last_heartbeat_at = coalesce(last_heartbeat_at, now()) - interval '10 years'
WHERE state IN ('running', 'restarting')
AND coalesce(last_heartbeat_at, now()) > now() - interval '5 years'"""
_NAME = "dag_id || '.' || task_id || ' (run ' || run_id || ')'"
#: A scheduler writes its heartbeat every 5 s.
SILENT_SCHEDULER_SECONDS = 12.0


class Database:
    """One connection, in autocommit.

    Every method raises psycopg2.Error while the database is away.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Any = None
        self.leading = False

    def drop(self) -> None:
        """Closes the connection. The next call connects again, and `lead` needs the lock again."""
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

    def _value(self, sql: str, *values: Any) -> Any:
        """The one value of one row, or the number of rows that a statement changed."""
        [(value,)] = self._rows(sql, *values)
        return value

    def lead(self) -> bool:
        """Whether this is the one reconciler of this database.

        PostgreSQL holds the lock as long as the connection; this asks once per connection.
        """
        if not self.leading:
            self.leading = bool(self._value("SELECT pg_try_advisory_lock(%s)", LOCK))
        return self.leading

    def scheduler_age(self) -> float | None:
        """Seconds since the most recent heartbeat of any scheduler; None where none runs."""
        age = self._value("""
            SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job
            WHERE job_type = 'SchedulerJob' AND state = 'running'""")
        return None if age is None else float(age)

    def job_ages(self) -> dict[str, float]:
        """Seconds since the most recent heartbeat by job type, such as DagProcessorJob."""
        rows = self._rows("""
            SELECT job_type, extract(epoch FROM now() - max(latest_heartbeat)) FROM job
            WHERE state = 'running' GROUP BY job_type""")
        return {name: float(age) for name, age in rows if age is not None}

    def lost_state(
        self,
        task_id: str,
        names: tuple[str, str],
        started: float,
        noted: float,
    ) -> str | None:
        """The state of the task instance with the Celery id of a lost task.

        The broker may have delivered the same message again. That run began after the loss was
        noted, or on another worker: its state is "running elsewhere". If the clock steps back
        between start and loss, `noted` is too early, and `started` counts instead.

        Args:
            names: of the worker and its host.
            started: when the lost task began, by its host's clock. Zero if it had not begun.
            noted: when its worker lost it, by the same clock.
        """
        latest = noted if noted >= started else started + BEGIN_SECONDS
        rows = self._rows(
            """
            SELECT state, hostname IN (%s, %s, '') AND start_date <= to_timestamp(%s)
            FROM task_instance WHERE external_executor_id = %s AND state IS NOT NULL""",
            *names,
            latest,
            task_id,
        )
        if not rows:
            return None
        state, same = rows[0]
        if state not in ("running", "restarting"):
            return str(state)
        return "running" if same else "running elsewhere"

    def age_heartbeat(self, task_id: str) -> None:
        """Moves the heartbeat of a running task instance back by ten years.

        The scheduler then handles it as a task without heartbeat: callbacks, retry or failure, slot
        (scheduler_job_runner.py, `_find_and_purge_task_instances_without_heartbeats`).
        """
        self._rows(_AGE + " AND external_executor_id = %s", task_id)

    def running(self) -> dict[str, tuple[str, str]]:
        """Id of each running task instance -> its last heartbeat as text, its name for people."""
        sql = f"""
            SELECT id::text, coalesce(last_heartbeat_at::text, ''), {_NAME}
            FROM task_instance WHERE state IN ('running', 'restarting')
            AND coalesce(last_heartbeat_at, now()) > now() - interval '5 years'
            """  # noqa: S608 - constants only
        rows = self._rows(sql)
        return {key: (beat, name) for key, beat, name in rows}

    def age_silent(self, key: str, beat: str) -> bool:
        """As `age_heartbeat`, of a task instance by its own id.

        False where it has written a heartbeat or ended meanwhile.
        """
        same = " AND id::text = %s AND coalesce(last_heartbeat_at::text, '') = %s"
        return bool(self._value(_AGE + same, key, beat))

    def callback_state(self, key: str) -> str | None:
        """Of an executor callback, by the id in its workload.

        None where the callback, or Airflow's table, does not exist.
        """
        if self._value("SELECT to_regclass('callback')") is None:
            return None
        for (state,) in self._rows("SELECT state FROM callback WHERE id::text = %s", key):
            return str(state)
        return None

    def queued(self) -> dict[str, str]:
        """Celery id -> queue of the task instances that should have a message."""
        sql = """
            SELECT external_executor_id, queue FROM task_instance WHERE state = 'queued'
            AND queued_dttm < now() - %s * interval '1 second'
            AND queued_dttm > now() - interval '5 years'
            AND external_executor_id IS NOT NULL"""
        return dict(self._rows(sql, QUEUED_SECONDS))

    def age_queued(self, task_id: str) -> str | None:
        """Moves the queued timestamp back beyond any task_queued_timeout. Returns the task's name.

        The scheduler's `_handle_tasks_stuck_in_queued` then queues the task again.
        """
        rows = self._rows(
            f"""
            UPDATE task_instance SET queued_dttm = queued_dttm - interval '10 years'
            WHERE state = 'queued' AND external_executor_id = %s
            AND queued_dttm > now() - interval '5 years'
            RETURNING {_NAME}""",  # noqa: S608 - constants only
            task_id,
        )
        for (name,) in rows:
            return str(name)
        return None

    def age_dead_schedulers(self, alive: int | None, host: str) -> int:
        """Moves the heartbeats of dead schedulers back. Returns how many.

        The next adoption check then takes their tasks. A scheduler is certainly dead in two cases:

        - it was silent since before PostgreSQL started (a scheduler ends when its database does);
        - `alive` scheduler processes run on this host, and at least as many of this host's
          schedulers wrote a later heartbeat. Airflow judges the schedulers of other hosts.

        Args:
            alive: None if it is not known.
            host: this host, as Airflow names it.
        """
        rows = self._rows(
            """
            SELECT id, latest_heartbeat < pg_postmaster_start_time(), hostname = %s FROM job
            WHERE job_type = 'SchedulerJob' AND state = 'running'
            ORDER BY latest_heartbeat DESC""",
            host,
        )
        certain = []
        later = 0
        for job_id, before_start, here in rows:
            if before_start or (here and alive is not None and later >= max(1, alive)):
                certain.append(job_id)
            if here:
                later += 1
        if not certain:
            return 0
        changed = self._value(
            """
            UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 day'
            WHERE id = ANY(%s) AND latest_heartbeat < now() - %s * interval '1 second'
            AND latest_heartbeat > now() - interval '20 hours'""",
            certain,
            SILENT_SCHEDULER_SECONDS,
        )
        return int(changed)

    def finished(self, task_ids: list[str]) -> list[str]:
        """The given Celery tasks that ended a minute ago or more, by Celery's record."""
        if not task_ids:
            return []
        sql = """
            SELECT task_id FROM celery_taskmeta
            WHERE task_id = ANY(%s) AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')
            AND date_done < localtimestamp - interval '1 minute'"""
        return [task_id for (task_id,) in self._rows(sql, task_ids)]

    def forget_result(self, task_id: str) -> None:
        """A dead worker's STARTED row would stay for ever."""
        sql = "DELETE FROM celery_taskmeta WHERE task_id = %s AND status = 'STARTED'"
        self._rows(sql, task_id)

    def delete_old_results(self) -> int:
        """Deletes old rows of Celery's result table in batches; keeps the rows of live tasks.

        Nothing else deletes them, since Airflow runs no Celery beat. `date_done` is the local time
        of the database's session, as Celery's own sessions write it (a column without time zone).
        """
        total: int = 0
        while True:
            count = self._value(
                """
                DELETE FROM celery_taskmeta WHERE id IN (
                  SELECT id FROM celery_taskmeta c
                  WHERE date_done < localtimestamp - %s * interval '1 second'
                  AND NOT EXISTS (
                    SELECT 1 FROM task_instance t WHERE t.external_executor_id = c.task_id
                    AND t.state IN ('queued', 'running'))
                  LIMIT %s)""",
                KEEP_RESULTS_SECONDS,
                BATCH,
            )
            total += int(count)
            if count < BATCH:
                return total
