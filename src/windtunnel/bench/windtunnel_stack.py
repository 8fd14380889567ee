"""windtunnel's own stack, started the way a person starts it."""

from __future__ import annotations

import os
import subprocess

from windtunnel.bench import places
from windtunnel.bench.shape import SAME, Shape
from windtunnel.bench.stack import Stack
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.settings import Settings, find_root, load
from windtunnel.stack import private


class Ours(Stack):
    """`process-compose up -D` through the launcher, with a private state folder."""

    name = "windtunnel"
    default_concurrency = os.cpu_count() or 1

    def variables(self, shape: Shape | None = None) -> dict[str, str]:
        """What a person would export for this stack, beside their own environment."""
        env = private.clean_environment(os.environ, airflow=True)
        env |= {"WINDTUNNEL_ROOT": str(find_root(os.environ)), "WINDTUNNEL_STATE": str(self.state)}
        env |= {
            "PORT_OFFSET": str(self.offset),
            "DAGS_FOLDER": str(self.dags_folder),
            **SAME,
            **self._temporary(),
        }
        if shape is not None:
            env["WORKERS"] = str(shape.workers)
            if shape.concurrency:
                env["WORKER_CONCURRENCY"] = str(shape.concurrency)
        return env

    def _settings(self) -> Settings:
        return load(self.variables(), client=False)

    def _launch(self, shape: Shape) -> subprocess.Popen[bytes]:
        with open(self.folder / "up.log", "wb") as log:
            return subprocess.Popen(
                [places.launcher(), "up", "-D"],
                env=self.variables(shape),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _also_ready(self) -> bool:
        return checks.reconciler(self.settings) is None

    def _stop(self) -> None:
        done = subprocess.run(
            [places.launcher(), "down"],
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if done.returncode:
            raise WindtunnelError(
                f"`process-compose down` ended with {done.returncode}: {done.stderr.strip()}",
            )

    def _kill(self) -> None:
        private.end(self.settings)
        if self._process is not None:
            self._process.wait()
