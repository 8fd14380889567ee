"""Returns what PostgreSQL refuses to store as JSON: the API server answers each time with 500."""

from airflow.sdk import DAG, task

with DAG("refused", schedule=None):

    @task(retries=0)
    def push() -> str:
        return "a\u0000b"

    push()
