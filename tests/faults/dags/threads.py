"""A task whose memory is taken by a program that a thread of it started. For tests."""

# mypy: ignore-errors

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from airflow.sdk import dag, task

CODE = "block = bytearray(1400 << 20); block[::4096] = b'x' * len(range(0, len(block), 4096)); import time; time.sleep(30)"


@dag(dag_id="threads", schedule=None, catchup=False)
def threads() -> None:
    @task(retries=0)
    def take() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(subprocess.run, [sys.executable, "-c", CODE], check=True).result()

    take()


threads()
