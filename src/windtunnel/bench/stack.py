"""What both private stacks have in common: a folder of their own, start, ready, runs, stop, and no trace afterwards."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg2

from windtunnel import http
from windtunnel.airflow_api import Airflow
from windtunnel.bench import dags, places
from windtunnel.bench.figures import Sizes
from windtunnel.bench.watch import Times, Watch
from windtunnel.compose import Compose
from windtunnel.errors import WindtunnelError
from windtunnel.flower import Flower
from windtunnel.settings import Settings

READY_SECONDS = 300.0
READ_SECONDS = 120.0
POLL_SECONDS = 0.05
#: For both stacks, so that the worker's slots are what bounds a run (defaults: 32 and 128).
SAME = {"AIRFLOW__CORE__PARALLELISM": "128", "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "128"}
BASE_DAGS = frozenset({"hello", "bench_one", "bench_chain", "bench_parallel", "bench_sleep"})


@dataclass(frozen=True)
class Shape:
    """Workers and their task slots; None is the stack's own default."""

    workers: int = 1
    concurrency: int | None = None
    dags: frozenset[str] = BASE_DAGS


class Stack(ABC):
    """One private stack, from an empty state folder to no trace.

    Args:
        folder: exists and is ours alone.
    """

    name: str
    default_concurrency: int

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        self.dags_folder = folder / "dags"
        self.offset = places.free_offset()
        self.shape: tuple[int, int, frozenset[str]] | None = None
        self.settings: Settings = self._settings()
        self.watch = Watch(self.settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._airflow: Airflow | None = None
        self._since: float | None = None

    @abstractmethod
    def _settings(self) -> Settings: ...
    @abstractmethod
    def _launch(self, shape: Shape) -> subprocess.Popen[bytes]:
        """Begin to start everything; its own log is `up.log`."""

    @abstractmethod
    def _stop(self) -> None:
        """Orderly; returns when the last process has ended."""

    @abstractmethod
    def _kill(self) -> None:
        """End everything at once, whatever state it is in."""

    def _failed(self) -> bool:
        """Whether the start has ended in an error."""
        return self._process is not None and self._process.poll() not in (None, 0)

    def _also_ready(self) -> bool:
        return True

    @property
    def compose(self) -> Compose:
        return Compose(self.settings)

    def start(self, shape: Shape) -> float:
        """Start and wait for `ready`; seconds between. Raises `WindtunnelError` where it does not come up."""
        self._write_dags(shape)
        began, since = time.monotonic(), time.time()
        self._since, self._airflow = since, None
        self._process = self._launch(shape)
        self.shape = (shape.workers, shape.concurrency or self.default_concurrency, shape.dags)
        waiting: dict[str, Callable[[], bool]] = {
            "API server": self._api_answers,
            "heartbeats of scheduler, dag-processor and triggerer": lambda: self.watch.beating(since),
            "workers in Flower": lambda: len(Flower(self.settings, timeout=5).online()) >= shape.workers,
            "own services": self._also_ready,
        }
        while waiting:
            for what, check in list(waiting.items()):
                with contextlib.suppress(WindtunnelError, psycopg2.Error, httpx.HTTPError, OSError):
                    if check():
                        del waiting[what]
            if self._failed() or time.monotonic() - began > READY_SECONDS:
                raise WindtunnelError(f"the private stack ({self.name}) did not come up: no {', no '.join(waiting)}; {self._last_words()}")
            if waiting:
                time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def _api_answers(self) -> bool:
        with http.client(self.settings.api_url, timeout=5) as client:
            return client.get("/api/v2/version").is_success and client.get("/execution/health/ping").is_success

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "up.log").read_text(errors="replace").strip().splitlines()
            return f"its last line: {lines[-1]}" if lines else "it said nothing"
        return "it said nothing"

    def ensure(self, shape: Shape) -> None:
        """Start, or stop and start again where it runs in another shape."""
        if self.shape == (shape.workers, shape.concurrency or self.default_concurrency, shape.dags):
            return
        if self.shape is not None:
            self.stop()
        self.start(shape)

    def _write_dags(self, shape: Shape) -> None:
        dags.write(self.dags_folder, self.sizes, set(shape.dags))

    def read(self) -> None:
        """Returns when every DAG file was read since the start. Raises `WindtunnelError` where that takes too long."""
        assert self._since is not None
        for path in sorted(self.dags_folder.glob("*.py")):
            self._known(path.stem, self._since)

    def _known(self, dag_id: str, since: float = 0.0) -> None:
        deadline = time.monotonic() + READ_SECONDS
        while not self.watch.known(dag_id, since):
            if time.monotonic() > deadline:
                raise WindtunnelError(f"the private stack ({self.name}) did not read {dag_id} within {READ_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def trigger(self, dag_id: str) -> tuple[str, float]:
        """Create a run by the API; its id, and the Unix time just before."""
        self._known(dag_id)
        if self._airflow is None:
            self._airflow = Airflow(self.settings)
            self._airflow.dag(dag_id)  # fetches the token
        posted = time.time()
        return self._airflow.trigger(dag_id), posted

    def run(self, dag_id: str, timeout: float = 900.0) -> Times:
        """Trigger by the API and wait for success."""
        run_id, posted = self.trigger(dag_id)
        return self.watch.ended(dag_id, run_id, posted, timeout)

    def stop(self) -> float:
        """Orderly stop; its seconds."""
        self.watch.close()
        began = time.monotonic()
        self._stop()
        self.shape = None
        return time.monotonic() - began

    def destroy(self) -> None:
        """Leaves no process and no file."""
        self.watch.close()
        self._kill()
        if self.settings.socket.parent != self.settings.run:
            shutil.rmtree(self.settings.socket.parent, ignore_errors=True)
        shutil.rmtree(self.folder)
