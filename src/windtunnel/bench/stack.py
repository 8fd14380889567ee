"""The common part of both private stacks: their folder, start, readiness, runs and stop."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from windtunnel.bench import dags
from windtunnel.bench.figures import Sizes
from windtunnel.bench.readiness import api_answers, until_all
from windtunnel.bench.runs import Runs
from windtunnel.bench.shape import Shape
from windtunnel.bench.watch import Watch
from windtunnel.clients.flower import Flower
from windtunnel.clients.process_compose import Compose
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import ports

READY_SECONDS = 300.0


class Stack(ABC):
    """One private stack, from an empty state folder to no trace.

    Args:
        folder: exists and is ours alone.
    """

    name: str
    default_concurrency: int
    #: Of the last start.
    runs: Runs

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        self.dags_folder = folder / "dags"
        self.state = folder / "state"
        (folder / "tmp").mkdir()
        self.offset = ports.free_offset()
        self.shape: Shape | None = None
        self.settings: Settings = self._settings()
        self.watch = Watch(self.settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self.since = 0.0

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

    def _temporary(self) -> dict[str, str]:
        """What killed processes of Airflow leave in the temporary folder goes with the rest."""
        return {"TMPDIR": str(self.folder / "tmp")}

    @property
    def compose(self) -> Compose:
        return Compose(self.settings)

    def begin(self, shape: Shape) -> None:
        """Begin to start; the clock of `ready` and `first_run` runs from here."""
        self._write_dags(shape)
        self._began, self.since = time.monotonic(), time.time()
        self._process = self._launch(shape)
        self.shape = shape
        self.runs = Runs(self.settings, self.watch)

    def ready(self) -> float:
        """Seconds from the beginning until all is ready. Raises `WindtunnelError` on timeout."""
        count = self.shape.workers if self.shape else 1
        return self._wait(
            {
                "API server": lambda: api_answers(self.settings),
                "heartbeats of scheduler, dag-processor and triggerer": lambda: self.watch.beating(
                    self.since,
                ),
                "workers in Flower": lambda: (
                    len(Flower(self.settings, timeout=5).online()) >= count
                ),
                "own services": self._also_ready,
            }
        )

    def first_run(self) -> float:
        """Seconds from the beginning until a run of `hello`, created at once, has succeeded."""
        self._wait(
            {
                "API server": lambda: api_answers(self.settings),
                "DAG hello": lambda: self.watch.known("hello", self.since),
            }
        )
        return self.runs.run("hello").ended - self.since

    def start(self, shape: Shape) -> float:
        """Start and wait until all is ready; seconds between."""
        self.begin(shape)
        return self.ready()

    def _wait(self, waiting: dict[str, Callable[[], bool]]) -> float:
        if missing := until_all(
            waiting,
            lambda: self._failed() or time.monotonic() - self._began > READY_SECONDS,
        ):
            raise WindtunnelError(
                f"the private stack ({self.name}) did not come up: "
                f"no {', no '.join(missing)}; {self._last_words()}",
            )
        return time.monotonic() - self._began

    def exact(self, shape: Shape) -> tuple[object, ...]:
        """With this stack's own default filled in: equal ones need no new start."""
        return shape.workers, shape.concurrency or self.default_concurrency, shape.dags

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            if lines := (self.folder / "up.log").read_text(errors="replace").strip().splitlines():
                return f"its last line: {lines[-1]}"
        return "it said nothing"

    def ensure(self, shape: Shape) -> None:
        """Start, or stop and start again where it runs in another shape."""
        if self.shape is None or self.exact(self.shape) != self.exact(shape):
            if self.shape is not None:
                self.stop()
            self.start(shape)

    def _write_dags(self, shape: Shape) -> None:
        dags.write(self.dags_folder, self.sizes, set(shape.dags))

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
        self.settings.socket.unlink(
            missing_ok=True,
        )  # outside of the folder where that has a long path
        shutil.rmtree(self.folder)
