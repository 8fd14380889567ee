"""
### deferrable

A wait that costs no worker slot. The second task hands its waiting to the triggerer (state
`deferred`), its worker turns to other tasks, and it comes back when `seconds` are over. Use it for
anything that mostly waits: a file, a remote job, a time of day.
"""

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import mark


@dag(
    dag_id="deferrable",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "seconds": Param(5, type="number", minimum=0, description="How long to wait"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def deferrable() -> None:
    @task(retries=0)
    def before() -> None:
        mark("start")

    @task(retries=0)
    def after() -> None:
        mark("end")

    wait = DateTimeSensorAsync(
        task_id="wait",
        retries=0,
        target_time="{{ (ti.start_date + macros.timedelta(seconds=params.seconds)).isoformat() }}",
    )
    before() >> wait >> after()


deferrable()
