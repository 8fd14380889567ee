"""A process-compose stack on this machine as the failure scenarios use it.

Over 200 lines, because one class has every operation that breaks or heals the stack.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from windtunnel.clients import process_compose
from windtunnel.clients.airflow import ApiError
from windtunnel.clients.flower import Flower
from windtunnel.drill import machine_faults, memory_cgroup
from windtunnel.drill.cluster import Away, Mark, NotPossibleHere
from windtunnel.drill.lab_worker import NAME as LAB
from windtunnel.drill.lab_worker import lab_worker
from windtunnel.drill.local_facts import Facts
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.health import checks
from windtunnel.ledger import ledger
from windtunnel.project import record
from windtunnel.settings import Settings
from windtunnel.stack import leftovers
from windtunnel.stack import scale as scaling
from windtunnel.system import procfs
from windtunnel.variables import database_url

#: Seconds for a stack to be whole again after a rehearsal.
HEAL_SECONDS = 180.0

#: It breaks nothing, so each process may get it.
CONTINUE = signal.SIGCONT


class LocalCluster(Facts):
    """Implements `drill.cluster.LocalStack`. Remembers at its making what it has to restore."""

    def __init__(self, settings: Settings, marks: Path) -> None:
        super().__init__(settings, marks)
        rows = self.compose.processes()
        self._running = {process_compose.node(row.name) for row in rows if row.is_running}
        self._count = len([row for row in rows if process_compose.is_worker(row.name)])
        self._cages: list[Path] = []
        worker = next(
            (row for row in rows if process_compose.is_worker(row.name) and row.pid > 0),
            None,
        )
        if worker is None:
            raise WindtunnelError(
                "no worker is running: start one with `process-compose process start worker`",
            )
        # What the stack was started with, for a lab worker that differs in nothing and for an
        # `up` that repeats it.
        self._worker_environment = psutil.Process(worker.pid).environ()
        self._up_environment = psutil.Process(psutil.Process(worker.pid).ppid()).environ()
        self.parallelism = int(self._worker_environment.get("AIRFLOW__CORE__PARALLELISM") or 32)

    # -- verbs -----------------------------------------------------------------------------
    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        try:
            return self.airflow.trigger(dag_id, {"marks": str(self.marks_file)} | (conf or {}))
        except (NoStackError, httpx.HTTPError) as error:
            raise Away(str(error)) from None
        except ApiError as error:
            if (
                error.status >= 500 or error.status == 404
            ):  # the database is away; the DAG is not read yet
                raise Away(str(error)) from None
            raise

    def _require_own(self, service: str) -> None:
        if service == "postgres" and self.settings.database:
            name = self.settings.database.name
            raise NotPossibleHere(f"the database {name} belongs to another service")

    def stop(self, service: str) -> None:
        self._require_own(service)
        self.compose.stop(self._process(service).name)

    def start(self, service: str) -> None:
        self.compose.start(self._process(service).name)

    def kill(self, service: str, signal: int = signal.SIGKILL) -> None:
        if signal != CONTINUE:
            self._require_own(service)
        pid = self.main_pid(service)
        if pid is None:
            raise WindtunnelError(f"{service} has no process to signal")
        process = procfs.read(pid)
        if (
            process is not None and self.main_pid(service) == pid
        ):  # asked again: the number was its own when it was read
            procfs.kill(process, signal)

    def kill_process(self, mark: Mark) -> None:
        if (process := procfs.find(mark.pid, mark.start)) is not None:
            procfs.kill(process)

    def scale(self, workers: int) -> None:
        scaling.scale(self.settings, workers)

    @contextmanager
    def partition(self, service: str, *, silent: bool = True) -> Iterator[None]:
        if service != LAB or self.lab is None:
            raise WindtunnelError(
                f"only a lab worker can be cut off from the broker here, not {service}",
            )
        self.lab.proxy.cut(silent=silent)
        try:
            yield
        finally:
            self.lab.proxy.heal()

    @contextmanager
    def lab_worker(self) -> Iterator[str]:
        with lab_worker(self.settings, self._worker_environment) as self.lab:
            try:
                yield LAB
            finally:
                with suppress(WindtunnelError, OSError):
                    self.kill(LAB, signal.SIGCONT)
                # Also after an error: its wire ends with this block, and nobody may heal it later.
                self.lab = None

    def celery_control(self, command: str, worker: str, **arguments: Any) -> None:
        from celery import Celery

        node = next(
            name for name in Flower(self.settings).workers() if name.split("@")[0] == worker
        )
        with Celery(broker=self.settings.secret("broker-url"), set_as_current=False) as app:
            app.control.broadcast(
                command,
                arguments=arguments,
                destination=[node],
                reply=True,
                timeout=5,
            )

    def age_queued_tasks(self, seconds: float) -> int:
        # The column that the scheduler compares with task_queued_timeout
        # (scheduler_job_runner.py, _handle_tasks_stuck_in_queued).
        earlier = (
            "UPDATE task_instance SET queued_dttm = queued_dttm - %s * interval '1 second' "
            "WHERE state = 'queued'"
        )
        return int(self._query(earlier, seconds))

    def cage(self, pid: int, limit: int) -> bool:
        folder = memory_cgroup.cage(pid, limit)
        if folder:
            self._cages.append(folder)
        return folder is not None

    def oom_kills(self) -> int:
        return sum(memory_cgroup.oom_kills(folder) for folder in self._cages)

    def up(self, service: str) -> bool:
        if service.startswith("worker"):
            fit = (
                checks.supervisor_record(self.settings, service).get("state") == "healthy"
                and self.main_pid(service) is not None
            )
            return fit and service in self.workers()
        return checks.service(self.settings, service) is None

    def in_hand(self, worker: str) -> int:
        return len(ledger.WorkerFiles(self.settings.run, worker).in_hand())

    def deliveries(self) -> int:
        pulses = [ledger.read(files.health) for files in ledger.all_workers(self.settings.run)]
        return sum(ledger.number(pulse, "processed") for pulse in pulses)

    def _all(self) -> list[psutil.Process]:
        """Every process of the stack, its supervisor first."""
        return leftovers.find(self.settings)

    def kill_everything(self, spare: Iterable[int] = ()) -> int:
        spared, dead = set(spare), set[int]()
        for _ in range(50):
            found = [p for p in self._all() if p.pid not in spared]
            if not found:
                return len(dead)
            # Stopped first: nobody is to see another one die and act on it, as when the machine
            # itself dies.
            for signum in (signal.SIGSTOP, signal.SIGKILL):
                dead |= {process.pid for process in found if leftovers.send(process, signum)}
            time.sleep(0.1)
        raise WindtunnelError(f"cannot kill {len(found)} processes of the stack")

    def full_disk(self) -> AbstractContextManager[None]:
        return machine_faults.full_disk(self.settings)

    def sleep(self, seconds: float) -> None:
        machine_faults.sleep(self._all, seconds)

    def jump_clock(self, seconds: float) -> None:
        machine_faults.jump_clock(self._worker_environment, seconds)

    def bring_up(self) -> None:
        python = Path(record.interpreter(self.settings.state))
        command = [str(python.with_name("process-compose")), "up", "-D"]
        environment = {k: v for k, v in self._up_environment.items() if k != "WINDTUNNEL_PREPARED"}
        if self.settings.database:
            environment[database_url.VARIABLE] = self.settings.secret("database-url")
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.settings.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WindtunnelError(
                f"`process-compose up -D` ended with {done.returncode}: "
                f"{done.stderr.strip()[-500:]}",
            )

    # -- healing ---------------------------------------------------------------------------
    def heal(self) -> list[str]:
        """Bring back every process that ran when this object was made.

        Returns the problems left after `HEAL_SECONDS`; empty when all is well.
        """
        if self.lab:
            self.lab.stop()
            self.lab = None
        machine_faults.ballast(self.settings).unlink(missing_ok=True)
        if not process_compose.answers(self.settings):
            self.bring_up()
            self.compose = process_compose.Compose(self.settings)
        for row in self.compose.processes():
            node = process_compose.node(row.name)
            if row.is_running:
                with suppress(WindtunnelError, OSError):
                    self.kill(node, signal.SIGCONT)
            elif (
                node in self._running
                and row.status in ("Completed", "Error", "Skipped", "Terminated")
                and row.name not in ("prepare", "migrate")
            ):
                with suppress(WindtunnelError):
                    self.compose.start(row.name)
        if len(self.compose.workers()) != self._count:
            scaling.scale(self.settings, self._count)
        end = time.monotonic() + HEAL_SECONDS
        wrong: list[str] = ["unknown"]
        while wrong and time.monotonic() < end:
            time.sleep(0.3)
            with suppress(WindtunnelError):
                wrong = self.unhealthy()
        for folder in self._cages:
            memory_cgroup.remove(folder)
        return wrong
