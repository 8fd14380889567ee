"""libcst, loaded when something needs it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch

MODULE = "airflow.sdk.definitions._internal.decorators"


@patch(
    "speed",
    f"{MODULE}:remove_task_decorator.__code__",
    tested="apache-airflow-task-sdk 1.2 to 1.3",
    components=("api-server", "scheduler", "dag-processor", "triggerer", "worker", "db"),
)
def libcst_when_asked() -> Replacements:
    """Five processes load one library less: 0.13 CPU-seconds and 7 MiB each.

    Cause: `import airflow` loads libcst, a whole Python parser, for one function that takes `@task`
    off a source text. Only operators that run a task in another interpreter call it. Ours: while
    Airflow is imported libcst is a stand-in with the one name that the module's body uses (for any
    other it becomes the real one). The function loads the module once more, with the real library,
    when it is called. Apply this before Airflow is loaded.
    """
    loaded = "airflow" in sys.modules or "libcst" in sys.modules
    if loaded or importlib.util.find_spec("libcst") is None:
        raise Unfit("Airflow or libcst is loaded already, or libcst is not there")
    stand_in = _StandIn("libcst")
    sys.modules["libcst"] = stand_in
    try:
        module = importlib.import_module(MODULE)
    finally:
        if sys.modules.get("libcst") is stand_in:
            del sys.modules["libcst"]
    if module.__dict__.get("cst") is not stand_in:
        raise Unfit(f"{MODULE} does not use libcst as before")
    function = getattr(module, "remove_task_decorator", None)
    names = ["python_source", "task_decorator_name"]
    if function is None or parameters(function) != names or function.__closure__:
        importlib.reload(module)  # with the real library
        raise Unfit("remove_task_decorator looks different")
    # Other modules hold the function itself by now, so only its code can be replaced.
    return {f"{MODULE}:remove_task_decorator.__code__": _remove_task_decorator.__code__}


class _StandIn(ModuleType):
    CSTTransformer = object

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(_real(), attribute)


@cache
def _real() -> ModuleType:
    """libcst itself, in place of the stand-in."""
    if isinstance(sys.modules.get("libcst"), _StandIn):
        del sys.modules["libcst"]
    return importlib.import_module("libcst")


@cache
def _again() -> ModuleType:
    """A second copy of Airflow's module, made with the real library."""
    _real()
    spec = importlib.util.find_spec(MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _remove_task_decorator(python_source: str, task_decorator_name: str) -> str:
    from windtunnel.patches.libcst import _again

    return str(_again().remove_task_decorator(python_source, task_decorator_name))
