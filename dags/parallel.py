"""
### parallel

Many equal tasks at once: `tasks` of them, each taking `seconds`. The list is made when the run
starts (dynamic task mapping), so the same file serves 8 tasks and 800. How many run at the same
time is set by the workers' slots (`WORKER_CONCURRENCY` times the number of workers) and by
Airflow's `parallelism`; the rest wait in order.
"""

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import marked, spend


@dag(
    dag_id="parallel",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    # Airflow lets 16 tasks of a run be active by default.
    # Here the workers' slots are to be the limit.
    max_active_tasks=1000,
    params={
        "tasks": Param(
            8,
            type="integer",
            minimum=1,
            maximum=1000,
            description="How many tasks to run",
        ),
        "seconds": Param(2, type="number", minimum=0, description="How long each takes"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def parallel() -> None:
    @task(retries=0)
    def numbers(params: dict | None = None) -> list[int]:
        return list(range(params["tasks"]))

    @task(retries=0)
    def work(number: int, params: dict | None = None) -> None:
        with marked():
            spend(params["seconds"])

    work.expand(number=numbers())


parallel()
