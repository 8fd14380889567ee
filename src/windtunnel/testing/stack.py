"""What a test does with the running stack: start runs, set objects, break parts, scale.

Over 200 lines, because one class has everything that a test calls, with its documentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from urllib.parse import quote

from windtunnel.clients.airflow import Airflow, moment
from windtunnel.clients.process_compose import Compose
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.errors import WindtunnelError
from windtunnel.health import status
from windtunnel.runtime import impatience_file
from windtunnel.settings import Settings
from windtunnel.stack import scale
from windtunnel.stack.run_dag import no_dag
from windtunnel.system.waiting import wait_for
from windtunnel.testing import dags, faults, given, impatience, objects, turns
from windtunnel.testing.changes import Changes
from windtunnel.testing.dates import When, aware
from windtunnel.testing.journal import Journal
from windtunnel.testing.results import ENDED, RunResult
from windtunnel.testing.runs import POLL_SECONDS, TIMEOUT, DagRun, Task, new_run_id

#: The journal notes a run a moment after Airflow has queued it.
CLOCK_SECONDS = 1.0


class Windtunnel:
    """The stack of a test session. All processes of pytest-xdist share it."""

    def __init__(self, settings: Settings, is_alone: Callable[[], bool] = lambda: True) -> None:
        """`is_alone`: whether no other test uses the stack now; may wait until it is so."""
        self.settings = settings
        self._is_alone = is_alone
        self.airflow = Airflow(settings)
        #: What the report of a failed test shows.
        self.journal = Journal()
        #: What the end of the running test undoes.
        self.changes = Changes(settings, self.airflow)
        self._since = time.time()
        self._remote: LocalCluster | None = None

    def __repr__(self) -> str:
        return f"<Windtunnel {self.settings.api_url}>"

    # -- runs ------------------------------------------------------------------------------
    def start(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        *,
        logical_date: When | None = None,
        timeout: float = TIMEOUT,
    ) -> DagRun:
        """Trigger a run, as soon as Airflow has read this version of the DAG's file.

        Args:
            conf: JSON for the run. logical_date: a run has none by default.

        Raises:
            AssertionError: the file cannot be imported, or Airflow has not read it in `timeout`
                seconds.
            WindtunnelError: there is no such DAG, it is paused, or the API refuses the run.
        """
        __tracebackhide__ = True
        given.conf(conf)
        when = None if logical_date is None else aware(logical_date, "logical_date").isoformat()
        dags.wait_until_read(self.settings, self.airflow, dag_id, self._since, timeout)
        run_id = new_run_id()
        self.airflow.trigger(dag_id, conf, run_id, when)
        self._note_run(dag_id, run_id)
        return DagRun(self.airflow, dag_id, run_id)

    def run(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        *,
        logical_date: When | None = None,
        timeout: float = TIMEOUT,
    ) -> RunResult:
        """`start`, and the result of the run. Errors as there."""
        __tracebackhide__ = True
        return self.start(dag_id, conf, logical_date=logical_date).result(timeout)

    def backfill(
        self, dag_id: str, first: When, last: When, *, timeout: float = TIMEOUT
    ) -> list[RunResult]:
        """Run a DAG for each date of its schedule from `first` to `last`.

        A date that had its run already has it again: its tasks have one try more.

        Returns:
            The results by date, oldest first.

        Raises:
            AssertionError: as `start`, or a run has not ended in `timeout` seconds.
            WindtunnelError: as `start`; also where a backfill of this DAG is under way.
        """
        __tracebackhide__ = True
        begin, end = aware(first, "first").isoformat(), aware(last, "last").isoformat()
        dags.wait_until_read(self.settings, self.airflow, dag_id, self._since, timeout)
        limits = {"logical_date_gte": begin, "logical_date_lte": end}
        order = {"run_type": "backfill", "order_by": "logical_date"}
        path = f"/dags/{quote(dag_id, safe='~')}/dagRuns"

        def runs() -> list[dict[str, Any]]:
            return self.airflow.pages(path, "dag_runs", **order, **limits)

        def has_ended() -> bool:
            return all(run["state"] in ENDED for run in runs())

        body = {"dag_id": dag_id, "from_date": begin, "to_date": end}
        body["reprocess_behavior"] = "completed"
        number = self.airflow.call("POST", "/backfills", json=body)["id"]
        with self._cancelled_at_end(number):
            ids = [str(run["dag_run_id"]) for run in runs()]
            for run_id in ids:
                self._note_run(dag_id, run_id)
            if not wait_for(has_ended, timeout, POLL_SECONDS):
                late = f"the backfill of {dag_id} has not ended after {timeout:.0f} s"
                raise AssertionError(late)
        return [DagRun(self.airflow, dag_id, run_id).result() for run_id in ids]

    def wait_for_run(self, dag_id: str, *, timeout: float = TIMEOUT) -> DagRun:
        """The next run of a DAG that no test has started: an asset, a schedule or a DAG did.

        Runs from before the last run that a test started do not count. Each one is returned once.

        Raises:
            AssertionError: there is none after `timeout` seconds.
        """
        __tracebackhide__ = True
        known = {run.run_id for run in self.journal.runs if run.dag_id == dag_id}
        since = max((run.time for run in self.journal.runs), default=self._since) - CLOCK_SECONDS
        found: list[str] = []

        def has_begun() -> bool:
            for row in self.airflow.newest_run_rows(dag_id, 100):
                new = row["dag_run_id"] not in known and (moment(row["queued_at"]) or 0.0) >= since
                found.extend([row["dag_run_id"]] * new)
            return bool(found)

        if not wait_for(has_begun, timeout, POLL_SECONDS):
            step = "the scheduler starts runs by itself only with --windtunnel-schedules"
            raise AssertionError(f"{dag_id} has no new run after {timeout:.0f} s: {step}")
        # The oldest one.
        self._note_run(dag_id, found[-1])
        return DagRun(self.airflow, dag_id, found[-1])

    @contextmanager
    def _cancelled_at_end(self, backfill: int) -> Iterator[None]:
        """An open one is in the way of the DAG's next backfill, also after Ctrl-C.

        The scheduler looks only every 30 s whether the runs of one have ended.
        """
        try:
            yield
        finally:
            with suppress(WindtunnelError):
                self.airflow.call("PUT", f"/backfills/{backfill}/cancel")

    def _note_run(self, dag_id: str, run_id: str) -> None:
        now = impatience_file.read(self.settings.run)
        self.journal.note_run(dag_id, run_id, now.factor)
        self.changes.run(dag_id, run_id)

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: its runs wait. The end of the test undoes it."""
        turns.require("pause", self._is_alone())
        self._set_paused(dag_id, True)

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs go on. The end of the test undoes it."""
        turns.require("unpause", self._is_alone())
        self._set_paused(dag_id, False)

    def _set_paused(self, dag_id: str, wanted: bool) -> None:
        dag = self.airflow.dag(dag_id)
        if dag is None:
            raise no_dag(self.airflow, dag_id)
        if dag["is_paused"] != wanted:
            self.changes.paused(dag_id, dag["is_paused"])
            self.airflow.change_dag(dag_id, is_paused=wanted)

    # -- faults ----------------------------------------------------------------------------
    def broken(
        self, part: str, *, of: Task | str | None = None, how: str = ""
    ) -> AbstractContextManager[str]:
        """Break a part of the stack for the length of a `with` block; its end mends the part.

        Args:
            part: worker, broker, database, scheduler, api-server, dag-processor, triggerer, or
                partition, which cuts the worker of `remote_worker` off from the broker.
            of: for a worker, a task that runs on it, or its name. The first one by default.
            how: killed, by SIGKILL, after which the part comes back by itself; away, stopped until
                the block ends. A worker is killed, the others are away by default.

        Returns:
            A context manager whose value is the name of what was broken, such as `worker-0`.

        Raises:
            UsageError: there is no such part.
            WindtunnelError: the part has not come back.
        """
        turns.require("broken", self._is_alone())
        cluster = self._remote or self._cluster()
        block = faults.broken(cluster, part, of, how, self.journal.is_within)
        return self.journal.noting(faults.way(part, how), block)

    @contextmanager
    def remote_worker(self) -> Iterator[str]:
        """Let a single worker serve, whose way to the broker `broken("partition")` can cut.

        The other workers finish their tasks and are away until the block ends.
        """
        turns.require("remote_worker", self._is_alone())
        self._remote = self._cluster()
        try:
            with faults.remote_worker(self._remote) as name:
                yield name
        finally:
            self._remote = None

    def scale(self, workers: int) -> None:
        """Set the number of workers, up to the end of the test. Surplus ones finish their tasks.

        Raises:
            WindtunnelError: the workers are not all at work after two minutes.
        """
        turns.require("scale", self._is_alone())
        scale.parse_count(str(workers))
        former = len(Compose(self.settings).workers())
        if former != workers:
            self.changes.workers(former)
        scale.scale(self.settings, workers)
        faults.wait_for_workers(self.settings)

    # -- objects ---------------------------------------------------------------------------
    @contextmanager
    def variable(self, key: str, value: str) -> Iterator[None]:
        """An Airflow variable for the length of a block; a former one comes back."""
        turns.require("variable", self._is_alone())
        given.texts(key=key)
        given.json_value("value", value)
        body = {"key": key, "value": value}
        with objects.replaced(self.airflow, "variables", key, body):
            yield

    @contextmanager
    def connection(
        self,
        conn_id: str,
        conn_type: str,
        *,
        host: str | None = None,
        port: int | None = None,
        login: str | None = None,
        password: str | None = None,
        schema: str | None = None,
        extra: dict[str, Any] | str | None = None,
        description: str | None = None,
    ) -> Iterator[None]:
        """A connection for the length of a block; a former one comes back.

        Args:
            extra: a dictionary, or JSON text.
        """
        turns.require("connection", self._is_alone())
        texts = {"host": host, "login": login, "password": password, "schema": schema}
        texts |= {"conn_type": conn_type, "description": description}
        given.texts(connection_id=conn_id, **texts)
        given.whole("port", port)
        if password:
            self.journal.secrets.append(password)
        more = {"port": port, "extra": given.json_text("extra", extra)}
        body = {name: value for name, value in (texts | more).items() if value is not None}
        with objects.replaced(
            self.airflow, "connections", conn_id, {"connection_id": conn_id, **body}
        ):
            yield

    @contextmanager
    def pool(self, name: str, slots: int) -> Iterator[None]:
        """A pool for the length of a block; a former one comes back."""
        turns.require("pool", self._is_alone())
        given.texts(name=name)
        given.whole("slots", slots)
        with objects.replaced(self.airflow, "pools", name, {"name": name, "slots": slots}):
            yield

    # -- time ------------------------------------------------------------------------------
    def impatient(self, factor: float = 10.0) -> AbstractContextManager[None]:
        """Shorten all waiting of the stack by a factor, for the length of a `with` block.

        That is retry delays, the time between two looks of a sensor in each of its modes, and
        the delays of retry policies; none below 0.1 s. Timeouts stay, and so does a limit on the
        number of looks that some sensors have. The log of a task, the tag of its DAG and
        `result.impatience` say it.

        It counts for runs of all processes of pytest-xdist. Of several blocks, the largest
        factor applies. The block of a process that was killed does not count.

        Raises:
            UsageError: the factor is no number from 1 to 1,000,000.
        """
        return impatience.impatient(self.settings, self.airflow, factor)

    # -- the stack -------------------------------------------------------------------------
    def status(self) -> dict[str, Any]:
        """What `windtunnel status --json` says."""
        return status.collect(self.settings).as_json()

    def _cluster(self) -> LocalCluster:
        return LocalCluster(self.settings, self.settings.run / "marks")
