"""Patches of the cost of each operator when a DAG file is read, which each task does."""

from __future__ import annotations

import collections.abc
import copy
import hashlib
import inspect
from typing import Any

from windtunnel.patches.base import Unfit
from windtunnel.patches.registry import Replacements, patch

#: SHA-256 of the two functions' source: a copy must not outlive its original.
TEXTS = "6e59dab5e76dffb749d9660fc6fc76cfb6183d724ecfd1d08f2251ab8bedef1c"


@patch(
    "speed",
    "airflow.sdk.bases.operator:BaseOperator.__setattr__",
    "airflow.sdk.bases.operator:_get_parent_defaults",
    tested="apache-airflow-task-sdk 1.3.2",
    components=("dag-processor", "worker"),
    late=("worker",),
)
def operators_cost_less() -> Replacements:
    """Reading a DAG file takes a fifth less time.

    Cause: `BaseOperator.__setattr__` looks for a `_convert_...` for each of some 76 attributes of
    an operator. Nearly none exists, so CPython makes and drops an exception. `_get_parent_defaults`
    makes a deep copy of the DAG's parameters for each class in the operator's hierarchy, four
    times, though there are none. Ours: the class is asked once for each name; an empty set of
    parameters is not copied. Both are otherwise upstream's own text.
    """
    from airflow.sdk.bases import operator

    base = operator.BaseOperator
    if base.__setattr__.__module__ == __name__:
        return {}
    texts = inspect.getsource(base.__setattr__), inspect.getsource(operator._get_parent_defaults)
    if hashlib.sha256("".join(texts).encode()).hexdigest() != TEXTS:
        raise Unfit("BaseOperator looks different")
    convertible: dict[tuple[type, str], bool] = {}

    def __setattr__(self: Any, key: str, value: Any) -> None:
        kind = type(self)
        converts = convertible.get((kind, key))
        if converts is None:
            converts = convertible[kind, key] = getattr(kind, f"_convert_{key}", None) is not None
        if converts:
            value = getattr(self, f"_convert_{key}")(value)
        super(base, self).__setattr__(key, value)
        if self._BaseOperator__from_mapped or self._lock_for_execution:
            return
        given = self._BaseOperator__init_kwargs
        if key in given:
            given[key] = value
        if self._BaseOperator__instantiated and key in self.template_fields:
            self._set_xcomargs_dependency(key, value)

    def _get_parent_defaults(dag: Any, task_group: Any) -> tuple[dict[str, Any], Any]:
        if not dag:
            return {}, operator.ParamsDict()
        dag_args = copy.copy(dag.default_args)
        dag_params = copy.deepcopy(dag.params) if dag.params else operator.ParamsDict()
        dag_params._fill_missing_param_source("dag")
        if task_group:
            group_args = task_group.default_args
            if group_args and not isinstance(group_args, collections.abc.Mapping):
                raise TypeError("default_args must be a mapping")
            dag_args.update(group_args)
        return dag_args, dag_params

    return {
        "airflow.sdk.bases.operator:BaseOperator.__setattr__": __setattr__,
        "airflow.sdk.bases.operator:_get_parent_defaults": _get_parent_defaults,
    }
