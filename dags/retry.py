"""
### retry

One task that fails on its first `failures` tries and then succeeds, with up to two retries a second
apart. With `failures` at 0 it is the task to lose a worker under: the same policy then covers the
crash. With `helper` each try detaches a helper process in a session of its own, as programs do that
start a daemon.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import detach_helper, marked, spend


@dag(
    dag_id="retry",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    max_active_runs=1000,
    params={
        "failures": Param(
            1,
            type="integer",
            minimum=0,
            description="How many tries fail; 3 or more fails the run",
        ),
        "seconds": Param(1, type="number", minimum=0, description="How long each try takes"),
        "later_seconds": Param(
            None,
            type=["null", "number"],
            description="How long later tries take; empty for `seconds`",
        ),
        "helper": Param(
            False,
            type="boolean",
            description="Whether each try detaches a helper process",
        ),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def retry() -> None:
    @task(retries=2, retry_delay=timedelta(seconds=1))
    def work(params: dict | None = None, ti=None) -> None:
        later = params["later_seconds"] if ti.try_number > 1 else None
        with marked():
            if params["helper"]:
                detach_helper()
            spend(params["seconds"] if later is None else later, pulse=True)
            if ti.try_number <= params["failures"]:
                raise RuntimeError(f"try {ti.try_number} fails, as the parameter `failures` asks")

    work()


retry()
