"""Returns what the API server refuses to store: a null character, or what the test makes the database refuse."""

from typing import Any

from airflow.sdk import DAG, task

with DAG("refused", schedule=None, params={"value": "null"}):

    @task
    def push(params: Any = None) -> str:
        return "a\u0000b" if params["value"] == "null" else str(params["value"])

    push()
