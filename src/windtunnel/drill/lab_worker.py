"""One more worker, connected to the broker through a proxy that can be cut.

It is for faults that must not reach the other workers.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.brokers import choice
from windtunnel.drill.tcp_proxy import TcpProxy
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.project import record
from windtunnel.services import state_folder
from windtunnel.settings import Settings
from windtunnel.system import procfs

NAME = "worker-lab"
START_SECONDS = 120.0
#: For its end after SIGTERM; its tasks are short.
END_SECONDS = 90.0


class LabWorker:
    """`process` is its supervisor, `proxy` its wire to the broker."""

    def __init__(self, settings: Settings, environment: dict[str, str]) -> None:
        """`environment`: that of a worker of the stack. Only the connection differs."""
        self.settings = settings
        self.broker = choice.of(settings)
        self.proxy = TcpProxy(self.broker.port(settings.ports))
        self.environment = {k: v for k, v in environment.items() if not k.startswith("PC_")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it serves. Raises `WindtunnelError`."""
        url = self.settings.run / "lab-broker-url"
        plain = self.settings.secret("broker-url")
        state_folder.write_private(
            url,
            plain.replace(f":{self.broker.port(self.settings.ports)}/", f":{self.proxy.port}/"),
        )
        self.environment |= {
            self.broker.port_variable: str(self.proxy.port),
            "WINDTUNNEL_LAB_BROKER_URL": str(url),
            "AIRFLOW__CELERY__BROKER_URL_CMD": """sh -c 'cat "$WINDTUNNEL_LAB_BROKER_URL"'""",
            # Celery's own debugger on SIGUSR2 (celery.apps.worker.install_rdb_handler): a main
            # loop that truly hangs.
            "CELERY_RDBSIG": "1",
        }
        # The stack's own, which may have another Airflow than this command.
        python = record.interpreter(self.settings.state)
        with (self.settings.logs / f"{NAME}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [python, "-m", "windtunnel.worker", "--name", NAME],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C on the rehearsal must not reach it directly: `stop` drains it.
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while checks.worker(self.settings, NAME) is not None:
            if self.process.poll() is not None or time.monotonic() > end:
                raise WindtunnelError(f"{NAME} did not come up: see {self.log}")
            time.sleep(0.2)

    @property
    def log(self) -> Path:
        return self.settings.logs / f"{NAME}.log"

    def stop(self) -> None:
        """Heals the wire and drains; past `END_SECONDS` kills."""
        self.proxy.heal()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._kill()
        self.process = None

    def _kill(self) -> None:
        record = checks.supervisor_record(self.settings, NAME)
        celery = (
            int(record.get("celery_pid") or 0),
            int(record.get("celery_start") or 0),
            str(record.get("boot")),
        )
        if self.process:
            self.process.kill()
        if (process := procfs.find(*celery)) is not None:
            procfs.kill(process)
        if self.process:
            self.process.wait()


@contextmanager
def lab_worker(settings: Settings, environment: dict[str, str]) -> Iterator[LabWorker]:
    """A lab worker that serves, drained at the end."""
    worker = LabWorker(settings, environment)
    with worker.proxy:
        try:
            worker.start()
            yield worker
        finally:
            worker.stop()
