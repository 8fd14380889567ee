"""What upstream's tests take from `tests_common` and its newest release does not have yet.

That release is the one of May 2025 on the package registry.
Our own words, and only what the tests of tools/upstream-tests need.
The module names are upstream's.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import io
import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any
from unittest import mock

import pytest


def release_flag(name: str) -> bool:
    """`AIRFLOW_V_3_2_PLUS`: Airflow is that release or a later one; `AIRFLOW_V_3_0_1`: that one."""
    if not (match := re.fullmatch(r"AIRFLOW_V_(\d+(?:_\d+)*)(_PLUS)?", name)):
        raise AttributeError(name)
    asked = tuple(int(part) for part in match[1].split("_"))
    ours = tuple(int(part) for part in version("apache-airflow-core").split(".")[:3])
    return ours >= asked if match[2] else ours[: len(asked)] == asked


def sync_dag_to_db(dag: Any, bundle_name: str = "testing") -> Any:
    """Writes a DAG as the DAG processor does; returns it as the scheduler sees it."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    serialized = LazyDeserializedDAG.from_dag(dag)
    with create_session() as session:
        session.merge(DagBundleModel(name=bundle_name))
        session.flush()
        SerializedDAG.bulk_write_to_db(bundle_name, None, [serialized], session=session)
        SerializedDagModel.write_dag(serialized, bundle_name, session=session)
    return create_scheduler_dag(dag)


def create_scheduler_dag(dag: Any) -> Any:
    """A DAG as the scheduler sees it."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def create_task_instance(
    task: Any,
    *,
    dag_version_id: Any,
    run_id: str | None = None,
    state: str | None = None,
    map_index: int = -1,
) -> Any:
    """A task instance of a task as a DAG file has it."""
    from airflow.models.taskinstance import TaskInstance

    seen = create_scheduler_dag(task.dag).get_task(task.task_id)
    return TaskInstance(
        seen, dag_version_id=dag_version_id, run_id=run_id, state=state, map_index=map_index
    )


def convert_list_to_stream(lines: list[str]) -> io.StringIO:
    return io.StringIO("\n".join(lines))


@contextlib.contextmanager
def conf_vars(overrides: dict[tuple[str, str], str | None]) -> Iterator[None]:
    """Sets options for a while, in Airflow's configuration and in the task SDK's.

    None takes one away.
    """
    from airflow import settings
    from airflow.configuration import conf
    from airflow.sdk.configuration import conf as sdk_conf

    removed = []
    with mock.patch.dict(os.environ):
        for (section, key), value in overrides.items():
            name = f"AIRFLOW__{section.upper()}__{key.upper()}"
            if value is not None:
                os.environ[name] = str(value)
                continue
            os.environ.pop(name, None)
            for each in (conf, sdk_conf):
                if each.has_section(section) and each.has_option(section, key):
                    removed.append((each, section, key, each.get(section, key)))
                    each.remove_option(section, key)
        settings.configure_vars()
        try:
            yield
        finally:
            for each, section, key, value in removed:
                each.set(section, key, value)
    settings.configure_vars()


@pytest.fixture(autouse=True)
def disable_redact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream's tests see secrets, except those marked otherwise."""
    if request.node.get_closest_marker("enable_redact"):
        return
    for package in ("airflow._shared", "airflow.sdk._shared"):
        monkeypatch.setattr(
            f"{package}.secrets_masker.SecretsMasker.redact", lambda self, item, *_, **__: item
        )


NEW_MODULES: dict[str, dict[str, Any]] = {
    "tests_common.test_utils.dag": {
        "sync_dag_to_db": sync_dag_to_db,
        "create_scheduler_dag": create_scheduler_dag,
    },
    "tests_common.test_utils.taskinstance": {"create_task_instance": create_task_instance},
    "tests_common.test_utils.file_task_handler": {"convert_list_to_stream": convert_list_to_stream},
}
ADDED: dict[str, dict[str, Any]] = {
    "tests_common.test_utils.version_compat": {"__getattr__": release_flag},
    "tests_common.test_utils.config": {"conf_vars": conf_vars},
    "tests_common.test_utils.markers": {
        "skip_if_not_on_main": pytest.mark.skip(reason="for the main branch of Airflow")
    },
}


class _Finder:
    """Adds the names as soon as a module is loaded, whoever asks for it first.

    Loading it here would load Airflow.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name not in ADDED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec and spec.loader, name
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            vars(module).update(ADDED[name])

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install(plugin: Any) -> None:
    """`plugin` is upstream's, not yet known to pytest."""
    plugin._disable_redact = disable_redact
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
    for name, names in NEW_MODULES.items():
        module = sys.modules[name] = ModuleType(name)
        vars(module).update(names)
