"""
### own_package

One task that uses a package of pyproject.toml. Replace it by your own DAGs.
"""

from datetime import timedelta

import humanize
from airflow.sdk import dag, task


@dag(dag_id="own_package", schedule=None, catchup=False, doc_md=__doc__)
def own_package() -> None:
    @task
    def say() -> str:
        return f"a task may take {humanize.precisedelta(timedelta(minutes=90))}"

    say()


own_package()
