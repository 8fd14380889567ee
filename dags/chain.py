"""
### chain

Five tasks, one after the other. What one run takes beyond five times `seconds` is the price of a
hop: the scheduler sees that a task has finished, queues the next, and a worker picks it up.
"""

from airflow.sdk import Param, chain, dag, task

from windtunnel.dag_helpers import marked, spend

LINKS = 5


@dag(
    dag_id="chain",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "seconds": Param(0, type="number", minimum=0, description="How long each task takes"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def links() -> None:
    @task(retries=0)
    def link(params: dict | None = None) -> None:
        with marked():
            spend(params["seconds"])

    chain(*[link.override(task_id=f"link_{number}")() for number in range(1, LINKS + 1)])


links()
