"""
### load

A working day in small: `tasks` tasks, every fifth one long (`seconds`), the others a tenth of that.
Keep it running while workers are restarted, scaled or lost. Two retries, so that a lost worker
costs time and not the run; a rolling restart must not even cost a retry.

With `real` one task more for every ten is like those of a real project: it takes `real` seconds or
up to half as long again, and forks, uses `multiprocessing` or prints `megabytes` of text. It is
retried as often as its worker is lost.
"""

import random
from datetime import timedelta

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import REAL, marked, spend


@dag(
    dag_id="load",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    max_active_tasks=1000,
    max_active_runs=100,
    params={
        "tasks": Param(
            20,
            type="integer",
            minimum=1,
            maximum=1000,
            description="How many tasks to run",
        ),
        "seconds": Param(5, type="number", minimum=0, description="How long a long task takes"),
        "real": Param(
            0,
            type="number",
            minimum=0,
            description="Seconds of the tasks that fork or print; 0 for none",
        ),
        "megabytes": Param(
            20,
            type="number",
            minimum=0,
            description="How much a task that prints a lot prints",
        ),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def load() -> None:
    policy = {"retries": 2, "retry_delay": timedelta(seconds=1)}

    @task(**policy)
    def numbers(params: dict | None = None) -> list[int]:
        return list(range(params["tasks"]))

    @task(**policy)
    def work(number: int, params: dict | None = None) -> None:
        long = number % 5 == 0
        with marked():
            spend(params["seconds"] if long else params["seconds"] / 10, pulse=True)

    @task(retries=100, retry_delay=timedelta(seconds=1))
    def kinds(params: dict | None = None) -> list[str]:
        count = -(-params["tasks"] // 10) if params["real"] else 0
        return [random.choice(sorted(REAL)) for _ in range(count)]  # noqa: S311

    @task(retries=100, retry_delay=timedelta(seconds=1))
    def real(kind: str, params: dict | None = None) -> None:
        with marked():
            REAL[kind](params["real"] * random.uniform(1, 1.5), params["megabytes"])  # noqa: S311

    work.expand(number=numbers())
    real.expand(kind=kinds())


load()
