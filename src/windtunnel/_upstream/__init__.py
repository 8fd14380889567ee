"""Every place where this project reaches into Airflow. Each patch names the fault, the versions it is for and what it needs.

A patch is applied only where its target looks as expected; otherwise one warning is logged and Airflow runs unpatched, which
is slower and never wrong. docs/reference/upstream.md tells the stories; tests/unit/test_upstream.py fails when one is no
longer needed.
"""

from __future__ import annotations

from windtunnel._upstream.scheduler import health_server_ends_with_scheduler, wake_scheduler
from windtunnel._upstream.worker import PidFd, free_slot_at_once

__all__ = ["PidFd", "free_slot_at_once", "health_server_ends_with_scheduler", "wake_scheduler"]
