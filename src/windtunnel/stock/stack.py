"""The stock stack of `bench`, with the DAGs of the scenarios."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from windtunnel.bench import processes
from windtunnel.bench.figures import FULL
from windtunnel.bench.shape import Shape
from windtunnel.bench.stock_stack import Stock
from windtunnel.drill.rehearse import DAGS


class Drilled(Stock):
    """A stock stack that scenarios may break.

    Args:
        dags: the folder that has the DAGs of the scenarios.
    """

    # Scenarios name workers and scale them.
    always_named = True

    def __init__(self, folder: Path, dags: Path) -> None:
        super().__init__(folder, FULL)
        self._source = dags

    def _write_dags(self, shape: Shape) -> None:
        self.dags_folder.mkdir(exist_ok=True)
        for name in DAGS:
            shutil.copyfile(self._source / f"{name}.py", self.dags_folder / f"{name}.py")

    def processes(self) -> list[psutil.Process]:
        """All that live, process-compose first, which leads the session of most."""
        assert self._process is not None
        self._process.poll()  # A killed one would be a zombie, which is ours to reap.
        return [each for each in processes.family(self._process.pid) if _lives(each)]

    def again(self) -> None:
        """Start once more what was killed; returns when process-compose answers."""
        assert self._process is not None and self.shape is not None
        self._process.wait()
        self.begin(self.shape)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
