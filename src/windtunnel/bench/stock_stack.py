"""Airflow with the settings of its own docker-compose file, as plain processes.

Nothing of windtunnel is loaded in them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from windtunnel.bench import processes, stock_services
from windtunnel.bench.shape import SAME, Shape
from windtunnel.bench.stack import Stack
from windtunnel.errors import WindtunnelError
from windtunnel.settings import ADMIN, Settings, load
from windtunnel.stack import leftovers
from windtunnel.stack.private import clean_environment
from windtunnel.stack.real_binary import real_binary

FILE = Path(__file__).with_name("stock.yaml")
#: Seconds until an orderly stop counts as failed: three steps of Docker's grace.
STOP_SECONDS = 60.0


def environment(settings: Settings, dags: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The variables of every process of the stock stack.

    Source: x-airflow-common of airflow-core/docs/howto/docker-compose/docker-compose.yaml,
    Airflow 3.3. All else is the default.
    """
    home = settings.state / "airflow"
    compose_file = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.secret("database-url"),
        "AIRFLOW__CELERY__RESULT_BACKEND": settings.secret("result-backend"),
        "AIRFLOW__CELERY__BROKER_URL": settings.secret("broker-url"),
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{settings.ports.api}/execution/",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "true",
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
    }
    # The same on both stacks; the file has FAB's auth manager, examples, and new DAGs paused.
    same = SAME | {
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(
            settings.secrets / "simple-auth-manager.json",
        ),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
    }
    # What a container has for itself: a home, its ports, its network.
    container = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(settings.ports.api),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(
            settings.ports.scheduler_health,
        ),
        "AIRFLOW__CELERY__FLOWER_HOST": "127.0.0.1",
        "AIRFLOW__CELERY__FLOWER_PORT": str(settings.ports.flower),
        "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": settings.secret("flower-basic-auth"),
        "STATE": str(settings.state),
    }
    return clean_environment(env, airflow=False) | compose_file | same | container


class Stock(Stack):
    """Started by the real process-compose, not by our launcher."""

    name = "stock"
    default_concurrency = 16  # [celery] worker_concurrency
    #: Whether a single worker has its number in its name too.
    always_named = False

    def _settings(self) -> Settings:
        return load(
            {"WINDTUNNEL_STATE": str(self.state), "PORT_OFFSET": str(self.offset)},
            client=False,
        )

    def _launch(self, shape: Shape) -> subprocess.Popen[bytes]:
        if not self.settings.state.exists():
            stock_services.prepare(self.settings)
        with open(self.folder / "up.log", "wb") as log:
            return subprocess.Popen(
                [*self._command(), "-f", str(FILE), "up", "-t=false"],
                env=self.variables(shape),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def variables(self, shape: Shape) -> dict[str, str]:
        """The variables of its process-compose, and so of every process."""
        env = (
            environment(self.settings, self.dags_folder, os.environ)
            | self._temporary()
            | {"REPLICAS": str(shape.workers)}
        )
        named = shape.workers > 1 or self.always_named
        env["NODE"] = "--celery-hostname worker-$PC_REPLICA_NUM@%h" if named else ""
        if shape.concurrency:
            env["AIRFLOW__CELERY__WORKER_CONCURRENCY"] = str(shape.concurrency)
        return env

    def _command(self) -> list[str]:
        return [
            real_binary(),
            "-U",
            "-u",
            str(self.settings.socket),
            "-L",
            str(self.folder / "process-compose.log"),
        ]

    def _failed(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _stop(self) -> None:
        assert self._process is not None
        asking = [real_binary(), "-U", "-u", str(self.settings.socket), "-L", os.devnull, "down"]
        env = clean_environment(os.environ, airflow=False) | {"PC_DISABLE_DOTENV": "1"}
        subprocess.run(
            asking,
            env=env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
        )
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise WindtunnelError(
                f"the private stack ({self.name}) did not stop within {STOP_SECONDS:.0f} s",
            ) from None

    def _kill(self) -> None:
        if self._process is None:
            return
        if alive := leftovers.end(processes.family(self._process.pid)):
            raise WindtunnelError(
                f"cannot end {', '.join(str(p.pid) for p in alive)} of the private stack: "
                "end them by hand",
            )
        self._process.wait()
