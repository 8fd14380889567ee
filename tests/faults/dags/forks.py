"""A task that forks without exec in every way people do, and a neighbour that keeps a forked helper. For tests."""

# mypy: ignore-errors

import multiprocessing
import os
import time
from datetime import timedelta

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import mark, spend


def pulse(kind: str) -> None:
    """Shows every fifth of a second that it lives, for as long as it is let."""
    while True:
        mark(kind)
        time.sleep(0.2)


def detach(kind: str) -> None:
    """The classic daemon: a fork, a session of its own, and a second fork."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            pulse(kind)
        os._exit(0)
    os.wait()


@dag(
    dag_id="forks",
    schedule=None,
    catchup=False,
    params={"marks": Param("", type=["null", "string"]), "seconds": Param(60, type="number")},
)
def forks() -> None:
    @task(retries=1, retry_delay=timedelta(0))
    def work(params: dict | None = None, ti: object = None) -> None:
        if ti.try_number == 1:
            if os.fork() == 0:
                pulse("forked")
            # Celery's pool passes for a daemon, which may have no children; this is what people do about it.
            multiprocessing.current_process()._config["daemon"] = False
            multiprocessing.get_context("fork").Process(
                target=pulse, args=("multiprocessing",), daemon=True
            ).start()
            detach("detached")
        mark("start")
        spend(params["seconds"] if ti.try_number == 1 else 3)
        mark("end")

    work()


@dag(
    dag_id="keeps",
    schedule=None,
    catchup=False,
    params={"marks": Param("", type=["null", "string"]), "seconds": Param(20, type="number")},
)
def keeps() -> None:
    @task(retries=0)
    def work(params: dict | None = None) -> None:
        detach("helper")
        mark("start")
        spend(params["seconds"])
        mark("end")

    work()


forks()
keeps()
