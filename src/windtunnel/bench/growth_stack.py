"""The stack on which growth is measured, and how much of each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from windtunnel.bench import dags
from windtunnel.bench.shape import SAME, Shape
from windtunnel.bench.windtunnel_stack import Ours


@dataclass(frozen=True)
class GrowthSizes:
    """How much of each."""

    workers: tuple[int, ...] = (1, 2, 4, 8)
    tasks_by_workers: int = 200
    dags: tuple[int, ...] = (10, 100, 1000)
    depth: int = 10_000
    #: Runs that make up the depth, of this many tasks each.
    run_size: int = 1000
    queueing_seconds: float = 900.0

    @property
    def folder(self) -> dict[str, int]:
        """DAG id -> its number of parallel no-op tasks."""
        counts = {*self.dags, self.tasks_by_workers, self.run_size}
        return {f"bench_{count}": count for count in sorted(counts)}


#: Shows only that it runs.
QUICK_GROWTH = GrowthSizes(workers=(1, 2), tasks_by_workers=20, dags=(10,), depth=100, run_size=50)


class Big(Ours):
    """Limits of Airflow's own out of the way: each run may have all its tasks queued."""

    def __init__(self, *arguments: Any, made: dict[str, int]) -> None:
        self.made = made
        super().__init__(*arguments)

    def variables(self, shape: Shape | None = None) -> dict[str, str]:
        return super().variables(shape) | dict.fromkeys(SAME, "100000")

    def _write_dags(self, shape: Shape) -> None:
        super()._write_dags(shape)
        for name, count in self.made.items():
            dags.write_one(self.dags_folder, name, dags.parallel(count))
