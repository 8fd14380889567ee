"""
### steady

One task that takes `seconds` and is never retried: if its worker is lost, it is failed, visibly,
and not run a second time. Right for work that must not be repeated. Compare `retry`.
"""

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import marked, spend, spend_printing


@dag(
    dag_id="steady",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    # Many runs at once are wanted here: scenarios use them as independent tasks.
    max_active_runs=1000,
    params={
        "seconds": Param(10, type="number", minimum=0, description="How long the task takes"),
        "megabytes": Param(0, type="number", minimum=0, description="How much it prints meanwhile"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def steady() -> None:
    @task(retries=0)
    def work(params: dict | None = None) -> None:
        with marked():
            if params["megabytes"]:
                spend_printing(params["seconds"], params["megabytes"])
            else:
                spend(params["seconds"], pulse=True)

    work()


steady()
