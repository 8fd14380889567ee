"""Every place where this project reaches into Airflow. Each patch names the fault, the versions it is for and what it needs.

A patch is applied only where its target looks as expected; otherwise one warning is logged and Airflow runs unpatched, which
is slower and never wrong. docs/reference/upstream.md tells the stories; tests/unit/test_upstream.py fails when one is no
longer needed.
"""

from __future__ import annotations

from windtunnel._upstream.api_client import refused_requests_end_soon
from windtunnel._upstream.execution_api import in_process_api_when_asked, newest_execution_api_first
from windtunnel._upstream.flower import flower_looks_again_soon
from windtunnel._upstream.idle import files_when_told, triggers_when_told
from windtunnel._upstream.libcst import libcst_when_asked
from windtunnel._upstream.log_server import log_server_when_asked
from windtunnel._upstream.middleware import middlewares_step_aside
from windtunnel._upstream.operators import operators_cost_less
from windtunnel._upstream.routes import routes_are_built_when_used
from windtunnel._upstream.scheduler import health_server_ends_with_scheduler, keep_result_connection, wake_scheduler
from windtunnel._upstream.task_log import task_log_survives_full_disk
from windtunnel._upstream.worker import PidFd, decoders_made_once, first_heartbeat_later, free_slot_at_once

__all__ = [
    "PidFd",
    "decoders_made_once",
    "files_when_told",
    "first_heartbeat_later",
    "flower_looks_again_soon",
    "free_slot_at_once",
    "health_server_ends_with_scheduler",
    "in_process_api_when_asked",
    "keep_result_connection",
    "libcst_when_asked",
    "log_server_when_asked",
    "middlewares_step_aside",
    "newest_execution_api_first",
    "operators_cost_less",
    "refused_requests_end_soon",
    "routes_are_built_when_used",
    "task_log_survives_full_disk",
    "triggers_when_told",
    "wake_scheduler",
]
