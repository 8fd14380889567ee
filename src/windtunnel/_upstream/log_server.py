"""The log server's modules, loaded when a log server is started."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from windtunnel._upstream.base import skip

MODULE = "airflow.utils.serve_logs"


def log_server_when_asked() -> bool:
    """Scheduler, triggerer and worker load no web framework for a log server that they are told not to start.

    Cause: `_serve_logs` of their commands imports it before it looks at --skip-serve-logs: 0.15 to 0.25 CPU-seconds, 10 MiB.
    For: apache-airflow 3.0 to 3.3. Ours: a stand-in for the package; its function, or any other name, becomes the real one
    when it is used. Returns whether it was applied.
    """
    if MODULE in sys.modules:
        return isinstance(sys.modules[MODULE], _StandIn) or skip("log_server_when_asked", "it is loaded already")
    try:
        spec = importlib.util.find_spec(MODULE)
    except ImportError as error:
        return skip("log_server_when_asked", str(error))
    if spec is None or spec.submodule_search_locations is None:
        return skip("log_server_when_asked", f"there is no package {MODULE}")
    stand_in = _StandIn(MODULE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[MODULE] = stand_in
    # As an import leaves it.
    parent, _, name = MODULE.rpartition(".")
    setattr(sys.modules[parent], name, stand_in)
    return True


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
