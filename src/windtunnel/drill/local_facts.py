"""Facts about a stack on this machine: processes, messages, reports.

The operations are in `local_cluster`. Over 200 lines, because one class has every fact that a
scenario asks for.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2

from windtunnel.brokers import choice
from windtunnel.brokers.interface import BrokerAway
from windtunnel.clients import process_compose
from windtunnel.clients.airflow import Airflow, ApiError, moment
from windtunnel.clients.flower import Flower
from windtunnel.clients.postgres import libpq_url
from windtunnel.drill import incidents
from windtunnel.drill.cluster import Away, Mark, Run, TaskInstance
from windtunnel.drill.lab_worker import NAME as LAB
from windtunnel.drill.lab_worker import LabWorker
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.health import checks, judgement, status
from windtunnel.ledger import ledger
from windtunnel.settings import Settings
from windtunnel.system import events, procfs

QUEUES = ("default", "heavy")


class Facts:
    """Observations of one stack; every one raises `Away` where what it asks does not answer."""

    def __init__(self, settings: Settings, marks: Path) -> None:
        self.settings = settings
        self.broker = settings.broker
        self.marks_file = marks
        self.slots = settings.worker_concurrency
        self.compose = process_compose.Compose(settings)
        self.airflow = Airflow(settings, timeout=10)
        self.lab: LabWorker | None = None
        self._marks: list[Mark] = []
        self._read = 0

    # -- side effects ----------------------------------------------------------------------
    def marks(self) -> list[Mark]:
        if self.marks_file.exists():
            with self.marks_file.open("rb") as file:
                file.seek(self._read)
                # A line is written in one piece; what has no end yet is read next time.
                text, end, _ = file.read().rpartition(b"\n")
            self._read += len(text) + len(end)
            for line in text.splitlines():
                row = json.loads(line)
                row["attempt"] = row.pop("try")
                self._marks.append(Mark(**row))
        return sorted(self._marks, key=lambda mark: mark.time)

    # -- Airflow ---------------------------------------------------------------------------
    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        try:
            rows = self.airflow.task_instances(dag_id, run_id)
        except (NoStackError, ApiError, httpx.HTTPError) as error:
            raise Away(str(error)) from None
        return [
            TaskInstance(
                task_id=row.task_id,
                map_index=row.map_index,
                state=row.state,
                try_number=row.try_number,
                hostname=row.hostname or "",
                queued=moment(row.queued_when),
                started=moment(row.start_date),
                ended=moment(row.end_date),
            )
            for row in rows
        ]

    def log(self, run: Run, task_id: str, attempt: int = 1) -> str:
        try:
            return self.airflow.log(run.dag_id, run.run_id, task_id, attempt)
        except (NoStackError, ApiError, httpx.HTTPError) as error:
            raise Away(str(error)) from None

    def scheduler_age(self) -> float:
        try:
            stamp = self.airflow.health()["scheduler"]["latest_scheduler_heartbeat"]
        except (NoStackError, ApiError, httpx.HTTPError, KeyError) as error:
            raise Away(str(error)) from None
        return time.time() - (moment(stamp) or 0.0)

    def unhealthy(self, since: float = 0.0) -> list[str]:
        rows = [row for row in self.compose.processes() if not row.off]
        # A worker that somebody drained stays down, so only running workers count.
        present = [row for row in rows if row.is_running or not row.name.startswith("worker")]
        faults = judgement.judge(self.settings, present)
        found = [f"{name} {fault}" for name, fault in faults.items() if fault]
        if since and not found:
            health = self.airflow.health()
            heard = {
                n: moment((health.get(n) or {}).get(f"latest_{n}_heartbeat")) or 0.0
                for n in ("scheduler", "triggerer", "dag_processor")
            }
            found = [
                f"{name} has not been heard of again" for name, at in heard.items() if at < since
            ]
        return found

    # -- workers ---------------------------------------------------------------------------
    def workers(self) -> set[str]:
        try:
            return Flower(self.settings).online()
        except NoStackError as error:
            raise Away(str(error)) from None

    def incident(self, worker: str, since: float, event: str = "") -> str | None:
        return incidents.first(events.read(self.settings.events), worker, since, event)

    def problems(self) -> list[str]:
        try:
            found = [
                f"{process_compose.node(p.part)}: {p.what}"
                for p in status.collect(self.settings).problems
            ]
        except WindtunnelError as error:
            raise Away(str(error)) from None
        # `status` lists what process-compose runs; the lab worker is ours, judged by the same rule.
        problem = checks.worker(self.settings, LAB) if self.lab else None
        if problem:
            found.append(f"{LAB}: {problem}")
        return found

    def process_state(self, service: str) -> str:
        if service == LAB:
            return "Ready" if checks.worker(self.settings, LAB) is None else "Not Ready"
        row = self._process(service)
        return row.is_ready if row.is_running else row.status

    def states(self) -> dict[str, str]:
        """`up`, `starting` or `away` of each part; `starting` is also one that is not ready.

        Empty where process-compose itself is away.
        """
        try:
            rows = self.compose.processes()
        except WindtunnelError:
            return {}
        found = {
            process_compose.node(row.name): self._state(row)
            for row in rows
            if not row.off and row.name not in judgement.ONE_SHOTS
        }
        if self.lab:
            found[LAB] = "starting" if checks.worker(self.settings, LAB) else "up"
        return found

    def _state(self, row: process_compose.Process) -> str:
        if not row.is_running:
            return "away"
        name = process_compose.node(row.name)
        if name.startswith("worker"):
            return "starting" if checks.worker(self.settings, name) else "up"
        if row.is_ready != "Not Ready":
            return "up"
        # Its probe may have many seconds until it looks again.
        check = checks.CHECKS.get(name)
        return "starting" if check is None or check(self.settings) else "up"

    def component(self, log: str) -> str:
        """The part that writes the log of this name."""
        return process_compose.node(log)

    # -- processes -------------------------------------------------------------------------
    def _process(self, service: str) -> process_compose.Process:
        rows = self.compose.processes()
        for row in rows:
            if service in (row.name, process_compose.node(row.name)):
                return row
        raise WindtunnelError(
            f"process-compose has no {service!r}; it has {', '.join(row.name for row in rows)}",
        )

    def main_pid(self, service: str) -> int | None:
        name, _, part = service.partition("/")
        if name.startswith("worker") and not part:
            record = checks.supervisor_record(self.settings, name)
            pid, start = int(record.get("celery_pid") or 0), int(record.get("celery_start") or 0)
            return pid if pid > 1 and procfs.alive(pid, start) else None
        if name == LAB:
            process = self.lab.process if self.lab else None
            return process.pid if process and process.poll() is None else None
        row = self._process(name)
        found = procfs.read(row.pid) if row.is_running and row.pid > 1 else None
        return row.pid if found is not None and found.state not in "ZX" else None

    def alive(self, marks: Iterable[Mark]) -> set[int]:
        return {mark.pid for mark in marks if procfs.alive(mark.pid, mark.start)}

    def open_files(self, service: str) -> int:
        pid = self.main_pid(service)
        try:
            return psutil.Process(pid).num_fds() if pid else 0
        except psutil.Error:
            return 0

    # -- the broker and the database -------------------------------------------------------
    def messages(self) -> dict[str, int]:
        try:
            found = choice.of(self.settings).depths(self.settings, QUEUES)
        except BrokerAway as error:
            raise Away(str(error)) from None
        return {name: found.waiting[name] for name in QUEUES} | {"unacked": found.unacknowledged}

    def clocks(self) -> dict[str, float]:
        try:
            found = {self.broker: choice.of(self.settings).clock(self.settings) - time.time()}
            health = self.airflow.health()
        except (BrokerAway, WindtunnelError, httpx.HTTPError) as error:
            raise Away(str(error)) from None
        found["postgres"] = (
            float(self._query("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        )
        for name in ("scheduler", "triggerer", "dag_processor"):
            found[name] = (
                moment((health.get(name) or {}).get(f"latest_{name}_heartbeat")) or 0.0
            ) - time.time()
        for worker in self.compose.workers():
            pulse = ledger.read(
                self.settings.run / "workers" / process_compose.node(worker.name) / "health.json",
            )
            found[process_compose.node(worker.name)] = float(pulse.get("time") or 0.0) - time.time()
        return found

    def token_life(self) -> float | None:
        try:
            texts = choice.of(self.settings).bodies(self.settings, QUEUES)
        except BrokerAway as error:
            raise Away(str(error)) from None
        return min((_expiry(text) - time.time() for text in texts), default=None)

    def open_results(self) -> int:
        return int(
            self._query(
                "SELECT count(*) FROM celery_taskmeta "
                "WHERE status IN ('PENDING', 'RECEIVED', 'STARTED', 'RETRY')",
            )
        )

    def _query(self, statement: str, *values: object) -> Any:
        """The first column of the first row, or how many rows a change met."""
        try:
            connection = psycopg2.connect(libpq_url(self.settings), connect_timeout=3)
        except psycopg2.OperationalError as error:
            raise Away(f"PostgreSQL: {error}") from None
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                if cursor.description is None:
                    return cursor.rowcount
                (value,) = cursor.fetchone() or (None,)
                return value
        except psycopg2.Error as error:
            raise Away(f"PostgreSQL: {error}") from None
        finally:
            connection.close()


def _decoded(body: bytes) -> bytes:
    """Kombu's Redis transport writes bodies in base64, AMQP as they are."""
    return body if body.startswith(b"[") else base64.b64decode(body)


def _expiry(body: bytes) -> float:
    """When the token of a task message expires, in Unix seconds.

    Path: body -> arguments -> workload -> JWT -> `exp`.
    """
    arguments = json.loads(_decoded(body))[0]
    claims = json.loads(arguments[0])["token"].split(".")[1]
    return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
