"""The stock stack as scenarios see it. What windtunnel adds is missing here, and found missing.

Over 200 lines, because one class has every operation and fact that differs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL

import httpx
import psutil
import psycopg2

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import moment
from windtunnel.clients.flower import Flower
from windtunnel.drill.cluster import Away
from windtunnel.drill.lab_worker import NAME as LAB
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.local_facts import Facts
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.stock.lab_worker import StockLabWorker
from windtunnel.stock.stack import Drilled
from windtunnel.system import procfs

#: Our names of its processes. A worker has its number.
NAMES = {
    "valkey": "redis",
    "postgres": "postgres",
    "api-server": "airflow-apiserver",
    "scheduler": "airflow-scheduler",
    "dag-processor": "airflow-dag-processor",
    "triggerer": "airflow-triggerer",
    "flower": "flower",
}
OURS = {stock: ours for ours, stock in NAMES.items()}
WORKER = "airflow-worker"
UP_SECONDS = 60.0


def ours(name: str) -> str:
    """Our name of a process or log of the stock stack."""
    if name.startswith(WORKER):
        return f"worker-{int(name.removeprefix(WORKER).strip('-') or 0)}"
    return OURS.get(name, name)


class StockCluster(LocalCluster):
    """Implements `drill.cluster.LocalStack`."""

    lab: StockLabWorker | None  # type: ignore[assignment]

    def __init__(self, stack: Drilled, marks: Path, slots: int) -> None:
        Facts.__init__(self, stack.settings, marks)
        self.stack, self.slots = stack, slots
        self._cages: list[Path] = []
        assert stack.shape is not None
        # Not read from a worker: without SPT_NOENV its title overwrites its variables.
        self._worker_environment = stack.variables(stack.shape)
        self.parallelism = int(self._worker_environment["AIRFLOW__CORE__PARALLELISM"])

    # -- processes -------------------------------------------------------------------------
    def _process(self, service: str) -> process_compose.Process:
        for row in self.compose.processes():
            if ours(row.name) == service:
                return row
        raise WindtunnelError(f"Airflow's own settings have no {service}")

    def main_pid(self, service: str) -> int | None:
        name = service.partition("/")[0]
        if name == LAB:
            return self.lab.pid if self.lab else None
        row = self._process(name)
        found = procfs.read(row.pid) if row.is_running and row.pid > 1 else None
        return row.pid if found is not None and found.state not in "ZX" else None

    def _all(self) -> list[psutil.Process]:
        return self.stack.processes()

    def component(self, log: str) -> str:
        return ours(log)

    def states(self) -> dict[str, str]:
        try:
            rows = self.compose.processes()
        except WindtunnelError:
            return {}
        found = {ours(row.name): self._look(row) for row in rows if row.name != "airflow-init"}
        return found | ({LAB: "up"} if self.lab and self.lab.pid else {})

    def _look(self, row: process_compose.Process) -> str:
        if not row.is_running:
            return "away"
        check = checks.check_of(self.settings, ours(row.name))
        return "starting" if check is not None and check(self.settings) else "up"

    def process_state(self, service: str) -> str:
        if service == LAB:
            return "Ready" if self.main_pid(LAB) else "Not Ready"
        row = self._process(service)
        # The health checks of the compose file mark a container and start nothing again.
        return "Ready" if row.is_running else row.status

    # -- what only windtunnel has --------------------------------------------------------------
    def in_hand(self, worker: str) -> int:
        return 0

    def deliveries(self) -> int:
        return 0

    def incident(self, worker: str, since: float, event: str = "") -> str | None:
        """Nothing around the worker reports anything."""
        return None

    def problems(self) -> list[str]:
        """What Flower says, which is all that there is."""
        try:
            workers = Flower(self.settings).workers()
        except WindtunnelError as error:
            raise Away(str(error)) from None
        return [f"{name.split('@')[0]}: offline" for name, online in workers.items() if not online]

    # -- health ----------------------------------------------------------------------------
    def up(self, service: str) -> bool:
        if service.startswith("worker"):
            return self.main_pid(service) is not None and service in self.workers()
        if check := checks.check_of(self.settings, service):
            return check(self.settings) is None
        return service not in " ".join(self._jobs(0.0))

    def unhealthy(self, since: float = 0.0) -> list[str]:
        services = ("valkey", "postgres", "api-server", "flower")
        faults = {name: checks.service(self.settings, name) for name in services}
        found = [f"{name} {fault}" for name, fault in faults.items() if fault]
        rows = [row for row in self.compose.processes() if row.name.startswith(WORKER)]
        found += [f"{ours(row.name)} not running" for row in rows if not row.is_running]
        return found or self._jobs(since)

    def _jobs(self, since: float) -> list[str]:
        """Scheduler, DAG processor and triggerer without a recent heartbeat."""
        try:
            health = self.airflow.health()
        except (WindtunnelError, httpx.HTTPError) as error:
            raise Away(str(error)) from None
        oldest = max(since, time.time() - checks.HEARTBEAT_SECONDS)
        found = []
        for job in checks.JOBS:
            key = job.replace("-", "_")
            beat = moment((health.get(key) or {}).get(f"latest_{key}_heartbeat")) or 0.0
            if beat < oldest:
                found.append(f"{job} has not been heard of again")
        return found

    # -- verbs -----------------------------------------------------------------------------
    def kill(self, service: str, signal: int = SIGKILL) -> None:
        """As in a container, where the kernel ends what a killed main process leaves.

        As plain processes they would live on. process-compose would not even start the service
        again while one of them holds its output.
        """
        pid = self.main_pid(service)
        family = psutil.Process(pid).children(recursive=True) if pid else []
        super().kill(service, signal)
        if signal == SIGKILL:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def scale(self, workers: int) -> None:
        rows = [row for row in self.compose.processes() if row.name.startswith(WORKER)]
        if len(rows) != workers:
            self.compose.scale(rows[0].name, workers)

    @contextmanager
    def lab_worker(self) -> Iterator[str]:
        with StockLabWorker(self.settings, self._worker_environment, self.stack.folder) as self.lab:
            try:
                yield LAB
            finally:
                with suppress(WindtunnelError, OSError):
                    self.kill(LAB, SIGCONT)
                self.lab = None

    def bring_up(self) -> None:
        self.stack.again()
        end = time.monotonic() + UP_SECONDS
        while not process_compose.answers(self.settings):
            if time.monotonic() > end:
                raise WindtunnelError(f"process-compose did not answer within {UP_SECONDS:.0f} s")
            time.sleep(0.1)

    def heal(self) -> list[str]:
        """Nothing is healed: each scenario has a stack of its own."""
        return []

    def known(self) -> None:
        """Return when Airflow has read the DAGs. Raises `WindtunnelError`."""
        with suppress(psycopg2.Error):
            self.stack.runs.read(self.stack.dags_folder, self.stack.since)
