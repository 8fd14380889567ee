"""In which shape a stack is started: workers, their slots, and which DAG files there are."""

from __future__ import annotations

from dataclasses import dataclass

#: For both stacks, so that the worker's slots are what bounds a run (defaults: 32 and 128).
SAME = {"AIRFLOW__CORE__PARALLELISM": "128", "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "128"}
BASE_DAGS = frozenset({"hello", "bench_one", "bench_chain", "bench_parallel", "bench_sleep"})


@dataclass(frozen=True)
class Shape:
    """Workers and their task slots; None is the stack's own default."""

    workers: int = 1
    concurrency: int | None = None
    dags: frozenset[str] = BASE_DAGS


DEFAULT = Shape()
TWO = Shape(concurrency=2)
SIXTEEN = Shape(concurrency=16)
FOUR_BY_FOUR = Shape(workers=4, concurrency=4)
