"""
### hello

The smallest useful DAG: one task that says which worker it ran on. Start here, and run it after
every change to the set-up: `windtunnel run hello`.
"""

from airflow.sdk import dag, task

from windtunnel.dag_helpers import worker


@dag(dag_id="hello", schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def hello() -> None:
    @task(retries=0)
    def greet() -> str:
        greeting = f"Hello from {worker()}"
        print(greeting)
        return greeting

    greet()


hello()
