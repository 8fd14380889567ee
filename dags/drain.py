"""
### drain

A Python task and a Bash task of `seconds` each. Tell their worker to stop meanwhile
(`windtunnel drain worker-0`, `process-compose process scale worker 1`, or `process-compose down`):
both tasks finish before the worker is gone. Bash is the harder case, since a worker that is stopped
carelessly takes the operator's child process with it.
"""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import BASH_MARK, marked, spend


@dag(
    dag_id="drain",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "seconds": Param(
            20,
            type="number",
            minimum=0,
            description="How long each of the two tasks takes",
        ),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def drain() -> None:
    @task(retries=0)
    def in_python(params: dict | None = None) -> None:
        with marked():
            spend(params["seconds"])

    in_python()
    BashOperator(
        task_id="in_bash",
        retries=0,
        bash_command=BASH_MARK + 'mark start && sleep "$SECONDS_TO_SLEEP" && mark end',
        # Values from a person go through the environment, never into the text of the command.
        env={"MARKS": "{{ params.marks or '' }}", "SECONDS_TO_SLEEP": "{{ params.seconds }}"},
        append_env=True,
    )


drain()
