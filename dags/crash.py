"""
### crash

A task whose process is killed from one moment to the next, as the kernel does when memory runs out:
on its first `kills` tries it sends itself SIGKILL after `seconds`. Neither Python nor Airflow gets
to say goodbye, so what the log and the state tell afterwards was found out by the worker. Three
retries, a second apart.
"""

import os
import signal
from datetime import timedelta

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import marked, spend


@dag(
    dag_id="crash",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "kills": Param(
            1,
            type="integer",
            minimum=0,
            description="How many tries are killed; 4 or more fails the run",
        ),
        "seconds": Param(1, type="number", minimum=0, description="How long each try takes"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def crash() -> None:
    @task(retries=3, retry_delay=timedelta(seconds=1))
    def work(params: dict | None = None, ti=None) -> None:
        with marked():
            spend(params["seconds"], pulse=True)
            if ti.try_number <= params["kills"]:
                print("about to be killed", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    work()


crash()
