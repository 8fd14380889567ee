"""The DAGs that are measured: one a file, plain Airflow, nothing of windtunnel's in them."""

from __future__ import annotations

from pathlib import Path

from windtunnel.bench.figures import Sizes

_TEMPLATE = '''"""Made by `windtunnel bench`."""

from airflow.sdk import dag, task

{imports}
@dag(dag_id="{name}", schedule=None, catchup=False, max_active_tasks=100000)
def made() -> None:
{body}

made()
'''

_CHAIN = """    before = None
    for number in range({count}):

        @task(task_id=f"t{{number}}")
        def nothing() -> None:
            return None

        now = nothing()
        if before is not None:
            before >> now
        before = now
"""

_PARALLEL = """    for number in range({count}):

        @task(task_id=f"t{{number}}")
        def work() -> None:
            {work}

        work()
"""


def parallel(count: int, work: str = "return None") -> str:
    """So many tasks that do not wait for each other."""
    return _PARALLEL.format(count=count, work=work)


def texts(sizes: Sizes) -> dict[str, str]:
    """DAG id -> body of its function; the id is the file's stem."""
    return {
        "hello": parallel(1, 'print("Hello")'),
        "bench_one": parallel(1),
        "bench_chain": _CHAIN.format(count=sizes.chain),
        "bench_parallel": parallel(sizes.parallel),
        "bench_sleep": parallel(sizes.sleeps, "time.sleep(2)"),
    }


def write_one(folder: Path, name: str, body: str) -> None:
    """One DAG, `body` being that of its function."""
    imports = "import time\n\n" if "time." in body else ""
    (folder / f"{name}.py").write_text(_TEMPLATE.format(name=name, body=body, imports=imports))


def write(folder: Path, sizes: Sizes, names: set[str]) -> None:
    """Make the folder hold exactly these DAGs. Reading any other would cost CPU when idle."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in texts(sizes).items():
        if name in names:
            write_one(folder, name, body)
        else:
            (folder / f"{name}.py").unlink(missing_ok=True)
