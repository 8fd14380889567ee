"""A run that misses its deadline at once; the deadline's callback runs on a worker and writes down its beginning and end."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference


def tell(**_: Any) -> None:
    calls = Path(os.environ["WINDTUNNEL_TEST_CALLS"])
    for word in ("begin", "end"):
        with calls.open("a") as file:
            file.write(f"{word}\n")
        if word == "begin":
            time.sleep(15)


with DAG(
    "late",
    schedule=None,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=SyncCallback(tell),
    ),
):

    @task
    def work() -> None:
        time.sleep(8)

    work()
