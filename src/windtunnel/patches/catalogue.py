"""The list of patches: each place that replaces an internal of Airflow, Celery or Flower.

registry.py applies them. A patch is applied whole where its targets look as expected. Otherwise it
logs one warning, `status --json` names it, and Airflow runs unpatched: slower and never wrong.
WINDTUNNEL_PATCHES switches patches (variables/patch_switch.py). docs/reference/upstream.md
describes each; tests/unit/patches/test_upstream.py fails when upstream no longer needs one.
"""

from __future__ import annotations

from windtunnel.patches.api_client import refused_requests_end_soon
from windtunnel.patches.dag_files import environments_hold_no_dags
from windtunnel.patches.dag_processor import files_when_notified
from windtunnel.patches.execution_api import (
    dag_processor_api_when_asked,
    newest_execution_api_first,
    triggerer_api_when_asked,
)
from windtunnel.patches.flower import flower_looks_again_soon
from windtunnel.patches.libcst import libcst_when_asked
from windtunnel.patches.log_server import log_server_when_asked
from windtunnel.patches.middleware import middlewares_step_aside
from windtunnel.patches.operators import operators_cost_less
from windtunnel.patches.registry import PATCHES, apply, record, recorded
from windtunnel.patches.routes import routes_are_built_when_used
from windtunnel.patches.scheduler import keep_result_connection, wake_scheduler
from windtunnel.patches.task_log import task_log_survives_full_disk
from windtunnel.patches.task_runner import (
    PidFd,
    decoders_made_once,
    first_heartbeat_later,
    free_slot_at_once,
)
from windtunnel.patches.triggerer import triggers_when_notified

__all__ = [
    "PATCHES",
    "PidFd",
    "apply",
    "dag_processor_api_when_asked",
    "decoders_made_once",
    "environments_hold_no_dags",
    "files_when_notified",
    "first_heartbeat_later",
    "flower_looks_again_soon",
    "free_slot_at_once",
    "keep_result_connection",
    "libcst_when_asked",
    "log_server_when_asked",
    "middlewares_step_aside",
    "newest_execution_api_first",
    "operators_cost_less",
    "record",
    "recorded",
    "refused_requests_end_soon",
    "routes_are_built_when_used",
    "task_log_survives_full_disk",
    "triggerer_api_when_asked",
    "triggers_when_notified",
    "wake_scheduler",
]

#: These are applied before the others: libcst's, since the others load Airflow, and the routes'
#: before the patches that load routes. So the order does not depend on which module of this package
#: is imported first.
_FIRST = ("libcst_when_asked", "log_server_when_asked", "routes_are_built_when_used")
_ordered = {name: PATCHES[name] for name in _FIRST} | PATCHES
PATCHES.clear()
PATCHES.update(_ordered)
