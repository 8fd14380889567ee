"""Patches of the process that runs tasks."""

from __future__ import annotations

import functools
import os
import selectors
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch


class PidFd:
    """A file descriptor that becomes readable when a process ends (pidfd_open(2)); closed with its last reference."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = close


@patch(
    "fault",
    "airflow.sdk.execution_time.supervisor:WatchedSubprocess._register_pipe_readers",
    tested="apache-airflow-task-sdk 1.0 to 1.3.2",
    # The triggerer's runner is watched as a task is; the same fault makes one `down` in four 10 s long.
    components=("triggerer", "worker"),
    late=("worker",),
)
def free_slot_at_once() -> Replacements:
    """A finished task frees its worker slot at once instead of up to 5 s later.

    Fault: `WatchedSubprocess._service_subprocess` waits in select for min_heartbeat_interval. When the task's sockets reach
    EOF an instant before the process can be reaped, nothing is left to wake the select. One task in ten is hit.
    No upstream report found. Ours: the process itself, as a pidfd, is watched too.

    """
    if not hasattr(os, "pidfd_open"):
        raise Unfit("this platform has no pidfd_open")
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    original = WatchedSubprocess._register_pipe_readers
    if getattr(original, "windtunnel", False):
        return {}
    fields = getattr(WatchedSubprocess, "__attrs_attrs__", None)
    if parameters(original)[:1] != ["self"] or not {"selector", "pid"} <= {a.name for a in fields or ()}:
        raise Unfit("WatchedSubprocess looks different")

    @functools.wraps(original)
    def _register_pipe_readers(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            watched = PidFd(self.pid)
        except OSError:
            return  # out of descriptors, or the process is gone: as upstream

        def forget(_: Any) -> None:
            self.selector.unregister(watched)

        # The form that _service_subprocess expects: (handler, on_close); a handler that returns False is done with.
        self.selector.register(watched, selectors.EVENT_READ, (lambda _: False, forget))

    _register_pipe_readers.windtunnel = True  # type: ignore[attr-defined]
    return {"airflow.sdk.execution_time.supervisor:WatchedSubprocess._register_pipe_readers": _register_pipe_readers}


@patch(
    "speed",
    "airflow.sdk.execution_time.supervisor:ActivitySubprocess._on_child_started",
    tested="apache-airflow-task-sdk 1.0 to 1.3.2",
    components=("worker",),
    late=("worker",),
)
def first_heartbeat_later() -> Replacements:
    """A task that has just reported its start does not send a heartbeat in the same breath.

    Cause: `ActivitySubprocess` remembers the start as its last successful heartbeat, but not as its last attempt, so the first
    round of its loop sends one: a fourth request for each task, of which most are over before the next is due.
    Ours: the start counts as an attempt.
    """
    from airflow.sdk.execution_time.supervisor import ActivitySubprocess

    original = ActivitySubprocess._on_child_started
    if getattr(original, "windtunnel", False):
        return {}
    fields = {a.name for a in getattr(ActivitySubprocess, "__attrs_attrs__", ())}
    if parameters(original)[:1] != ["self"] or not {"_last_heartbeat_attempt", "_last_successful_heartbeat"} <= fields:
        raise Unfit("ActivitySubprocess looks different")

    @functools.wraps(original)
    def _on_child_started(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._last_heartbeat_attempt = self._last_successful_heartbeat

    _on_child_started.windtunnel = True  # type: ignore[attr-defined]
    return {"airflow.sdk.execution_time.supervisor:ActivitySubprocess._on_child_started": _on_child_started}


@patch(
    "speed",
    "airflow.sdk.execution_time.comms:TypeAdapter",
    "airflow.sdk.execution_time.task_runner:TypeAdapter",
    tested="apache-airflow-task-sdk 1.3.2",
    components=("worker",),
    late=("worker",),
)
def decoders_made_once() -> Replacements:
    """The worker makes the decoders of what task and supervisor say to each other; its tasks inherit them.

    Cause: each task's `CommsDecoder` builds two pydantic validators for the same union of some 60 messages, and
    `_serialize_rendered_fields` one for each templated field: 4 ms of its start, and 600 pages copied.
    Ours: `TypeAdapter`, which has no state, is made once for each type.

    """
    from airflow.sdk.execution_time import comms, task_runner
    from pydantic import TypeAdapter

    types = (comms.ToTask, task_runner.StartupDetails, task_runner.JsonValue)
    if any(vars(module).get("TypeAdapter") is not TypeAdapter for module in (comms, task_runner)):
        raise Unfit("the modules of the task do not use pydantic's TypeAdapter as before")
    once = functools.lru_cache(maxsize=None)(TypeAdapter)
    for each in types:
        once(each)  # before the first fork
    return {"airflow.sdk.execution_time.comms:TypeAdapter": once, "airflow.sdk.execution_time.task_runner:TypeAdapter": once}
