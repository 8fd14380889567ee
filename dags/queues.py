"""
### queues

Where a task runs is decided by its `queue`: a worker takes only from the queues it was started
with. One task goes to the default queue and one to `heavy`, which waits until a worker serves that
queue (`process-compose process start worker-heavy`). The report then says which worker ran each:
see its log or its return value.
"""

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import marked, spend, worker


@dag(
    dag_id="queues",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "seconds": Param(1, type="number", minimum=0, description="How long each task takes"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def queues() -> None:
    @task(retries=0)
    def light(params: dict | None = None) -> str:
        with marked():
            spend(params["seconds"])
        return worker()

    @task(retries=0, queue="heavy")
    def heavy(params: dict | None = None) -> str:
        with marked():
            spend(params["seconds"])
        return worker()

    @task(retries=0)
    def report(light_ran_on: str, heavy_ran_on: str) -> dict[str, str]:
        print(f"queue default: {light_ran_on}")
        print(f"queue heavy:   {heavy_ran_on}")
        return {"default": light_ran_on, "heavy": heavy_ran_on}

    report(light(), heavy())


queues()
