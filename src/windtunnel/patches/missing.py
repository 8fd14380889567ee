"""The reason of a patch that meets an Airflow without one of its targets, as a sentence."""

from __future__ import annotations

import re
from importlib import metadata
from types import ModuleType


def sentence(error: Exception) -> str:
    """For example "Airflow 3.1.8 has no airflow.dag_processing.manager.X"."""
    name = ""
    if isinstance(error, ModuleNotFoundError):
        name = error.name or ""
    elif isinstance(error, ImportError):
        # Python names the missing one in a field of its own since 3.12.
        word = re.match(r"cannot import name '(\w+)'", str(error))
        name = f"{error.name}.{word[1]}" if word and error.name else ""
    elif isinstance(error, AttributeError) and error.name and not hasattr(error.obj, error.name):
        name = f"{_place(error.obj)}.{error.name}"
    return f"{_owner(name)} has no {name}" if name else f"{type(error).__name__}: {error}"


def _place(holder: object) -> str:
    if isinstance(holder, ModuleType):
        return holder.__name__
    kind = holder if isinstance(holder, type) else type(holder)
    return f"{kind.__module__}.{kind.__qualname__}"


def _owner(name: str) -> str:
    """The package of a module with its version."""
    top = name.partition(".")[0]
    package = {"airflow": "apache-airflow-core"}.get(top, top)
    title = {"airflow": "Airflow"}.get(top, top)
    try:
        return f"{title} {metadata.version(package)}"
    except (metadata.PackageNotFoundError, ValueError):
        return "this environment"
