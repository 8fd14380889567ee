"""One more stock worker, connected to the broker through a proxy that can be cut."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from windtunnel.clients.flower import Flower
from windtunnel.drill.lab_worker import END_SECONDS, NAME, START_SECONDS
from windtunnel.drill.tcp_proxy import TcpProxy
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import Settings


class StockLabWorker:
    """Serves while the block lasts.

    Args:
        environment: that of a worker of the stack. Only the connection differs.
        folder: for its working directory.
    """

    def __init__(self, settings: Settings, environment: dict[str, str], folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.proxy = TcpProxy(settings.ports.valkey)
        self.environment = {k: v for k, v in environment.items() if not k.startswith("PC_")}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        running = self.process is not None and self.process.poll() is None
        return self.process.pid if self.process and running else None

    def __enter__(self) -> StockLabWorker:
        self.proxy.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        url = self.environment["AIRFLOW__CELERY__BROKER_URL"]
        port = f":{self.settings.ports.valkey}/"
        environment = self.environment | {
            "AIRFLOW__CELERY__BROKER_URL": url.replace(port, f":{self.proxy.port}/"),
            # Read by the DAGs of the scenarios only: whose mark it is.
            "WINDTUNNEL_WORKER": NAME,
            # As in windtunnel.drill.lab_worker.
            "CELERY_RDBSIG": "1",
        }
        command = ["airflow", "celery", "worker", "--skip-serve-logs"]
        with (self.settings.logs / f"{NAME}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--celery-hostname", f"{NAME}@%h"],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._online():
            if self.pid is None or time.monotonic() > end:
                raise WindtunnelError(f"{NAME} did not come up")
            time.sleep(0.3)

    def _online(self) -> bool:
        with suppress(NoStackError):
            return NAME in Flower(self.settings).online()
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.proxy.heal()
        if self.process is not None and self.pid:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
            with suppress(ProcessLookupError):
                # Its session: its pool processes and their tasks too.
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.proxy.__exit__(kind, error, trace)
