"""The log server's modules, loaded when a log server is started."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from windtunnel.patches.base import Unfit
from windtunnel.patches.registry import Replacements, patch

MODULE = "airflow.utils.serve_logs"


@patch(
    "speed",
    f"{MODULE}:serve_logs",
    tested="apache-airflow 3.0 to 3.3",
    components=("scheduler", "triggerer", "worker"),
)
def log_server_when_asked() -> Replacements:
    """Scheduler, triggerer and worker load no web framework for a log server that never starts.

    Cause: `_serve_logs` of their commands imports it before it looks at --skip-serve-logs: 0.15 to
    0.25 CPU-seconds, 10 MiB. Ours: a stand-in for the package; its function, or any other name,
    becomes the real one when it is used.
    """
    if MODULE in sys.modules:
        if isinstance(sys.modules[MODULE], _StandIn):
            return {}
        raise Unfit("it is loaded already")
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.submodule_search_locations is None:
        raise Unfit(f"there is no package {MODULE}")
    stand_in = _StandIn(MODULE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    # As an import leaves it. There is no target to look at, since the module must not be loaded.
    parent, _, name = MODULE.rpartition(".")
    setattr(sys.modules[parent], name, stand_in)
    sys.modules[MODULE] = stand_in
    return {}


class _StandIn(ModuleType):
    def serve_logs(self, *args: Any, **kwargs: Any) -> Any:
        return _real().serve_logs(*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(_real(), attribute)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(MODULE), _StandIn):
        del sys.modules[MODULE]
    return importlib.import_module(MODULE)
