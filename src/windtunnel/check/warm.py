"""What the process that has imported Airflow does itself, once for all files."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from windtunnel.variables import patch_switch


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


def listed(folders: list[str]) -> dict[str, Any]:
    """The DAG files of folders, as Airflow lists them: by their words, and `.airflowignore`."""
    from airflow.configuration import conf

    from windtunnel.patches.dag_files import environments_hold_no_dags

    if patch_switch.wanted(environments_hold_no_dags.name):
        environments_hold_no_dags.apply()
    safe_mode = conf.getboolean("core", "dag_discovery_safe_mode")
    try:
        from airflow.dag_processing import importers

        search = importers.get_importer_registry().list_dag_files
    except ImportError:  # Airflow 3.1
        from airflow.utils import file

        search = file.list_py_file_paths
    try:
        found = [sorted(search(folder, safe_mode=safe_mode)) for folder in folders]
    except (OSError, RuntimeError) as error:
        return {"fault": str(error)}
    return {"files": [path for paths in found for path in paths]}
