"""
### memory

A hungry task: it takes `megabytes` of memory in steps of ten, then holds them for `seconds`. With
more than a task may have, see what becomes of it: the task is failed and its log says why, and the
worker serves on. Not retried, since the next try would be as hungry.
"""

from airflow.sdk import Param, dag, task

from windtunnel.dag_helpers import marked, spend

STEP = 10
PAGE = 4096


@dag(
    dag_id="memory",
    schedule=None,
    catchup=False,
    doc_md=__doc__,
    tags=["example"],
    params={
        "megabytes": Param(100, type="integer", minimum=0, description="How much memory to take"),
        "seconds": Param(5, type="number", minimum=0, description="How long to hold it"),
        "marks": Param(
            "",
            type=["null", "string"],
            description="A file to note starts and ends in; empty for none",
        ),
    },
)
def memory() -> None:
    @task(retries=0)
    def take(params: dict | None = None) -> None:
        with marked():
            held: list[bytearray] = []
            while (taken := STEP * len(held)) < params["megabytes"]:
                block = bytearray(STEP << 20)
                # The kernel gives a page only when it is written to.
                block[::PAGE] = b"x" * len(range(0, len(block), PAGE))
                held.append(block)
                if (taken + STEP) % 100 == 0:
                    print(f"{taken + STEP} MB taken", flush=True)
                spend(0.05)
            spend(params["seconds"])

    take()


memory()
