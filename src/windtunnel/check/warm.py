"""What the process that has imported Airflow does itself, once for all files."""

from __future__ import annotations

import contextlib
import os


def warm_up() -> None:
    """Import what every DAG file makes Airflow import, so that no file's time has it."""
    from airflow import sdk
    from airflow.dag_processing import processor
    from airflow.sdk.execution_time import supervisor, task_runner  # noqa: F401

    for name in sdk.__all__:
        # Some of them need a package that not everybody has.
        with contextlib.suppress(ImportError, AttributeError):
            getattr(sdk, name)
    with contextlib.suppress(Exception):
        with sdk.DAG("warm_up", schedule=None) as dag:
            sdk.BaseOperator(task_id="warm_up")
        bag = processor.DagBag(dag_folder=os.devnull, collect_dags=False)
        bag.dags[dag.dag_id] = dag
        processor._serialize_dags(bag, None)


def files(folder: str) -> list[str]:
    """The DAG files of a folder, as Airflow lists them: by their words, and `.airflowignore`."""
    from airflow.configuration import conf

    safe_mode = conf.getboolean("core", "dag_discovery_safe_mode")
    try:
        from airflow.dag_processing.importers import get_importer_registry
    except ImportError:  # Airflow 3.1
        from airflow.utils.file import list_py_file_paths

        return sorted(list_py_file_paths(folder, safe_mode=safe_mode))
    return sorted(get_importer_registry().list_dag_files(folder, safe_mode=safe_mode))
