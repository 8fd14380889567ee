"""Patches of the process that runs tasks."""

from __future__ import annotations

import functools
import os
import selectors
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch

SUPERVISOR = "airflow.sdk.execution_time.supervisor"
PIPE_READERS = f"{SUPERVISOR}:WatchedSubprocess._register_pipe_readers"
CHILD_STARTED = f"{SUPERVISOR}:ActivitySubprocess._on_child_started"
TASK_ADAPTER = "airflow.sdk.execution_time.task_runner:TypeAdapter"
COMMS_ADAPTER = "airflow.sdk.execution_time.comms:TypeAdapter"


class PidFd:
    """A file descriptor that becomes readable when a process ends (pidfd_open(2)).

    It is closed with its last reference.
    """

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
    PIPE_READERS,
    tested="apache-airflow-task-sdk 1.0 to 1.3.2",
    # The triggerer's runner is watched in the same way: the fault makes one `down` in four 10 s
    # long.
    components=("triggerer", "worker"),
    late=("worker",),
)
def free_slot_at_once() -> Replacements:
    """A finished task frees its worker slot at once instead of up to 5 s later.

    Fault: `WatchedSubprocess._service_subprocess` waits in select for min_heartbeat_interval. When
    the task's sockets reach EOF an instant before the process can be reaped, nothing is left to end
    the select. One task in ten is hit. No upstream report found. Ours: the select also waits for
    the process itself, as a pidfd.
    """
    if not hasattr(os, "pidfd_open"):
        raise Unfit("this platform has no pidfd_open")
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    original = WatchedSubprocess._register_pipe_readers
    if getattr(original, "windtunnel", False):
        return {}
    fields = getattr(WatchedSubprocess, "__attrs_attrs__", None)
    names = {field.name for field in fields or ()}
    if parameters(original)[:1] != ["self"] or not {"selector", "pid"} <= names:
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

        # _service_subprocess expects (handler, on_close). It removes a handler that returns False.
        self.selector.register(watched, selectors.EVENT_READ, (lambda _: False, forget))

    _register_pipe_readers.windtunnel = True  # type: ignore[attr-defined]
    return {PIPE_READERS: _register_pipe_readers}


@patch(
    "speed",
    CHILD_STARTED,
    tested="apache-airflow-task-sdk 1.0 to 1.3.2",
    components=("worker",),
    late=("worker",),
)
def first_heartbeat_later() -> Replacements:
    """A task that has just reported its start does not send a heartbeat at once.

    Cause: `ActivitySubprocess` remembers the start as its last successful heartbeat, but not as its
    last attempt. So the first round of its loop sends one: a fourth request for each task. Most
    tasks end before the next heartbeat is due. Ours: the start counts as an attempt.
    """
    from airflow.sdk.execution_time.supervisor import ActivitySubprocess

    original = ActivitySubprocess._on_child_started
    if getattr(original, "windtunnel", False):
        return {}
    fields = {a.name for a in getattr(ActivitySubprocess, "__attrs_attrs__", ())}
    needed = {"_last_heartbeat_attempt", "_last_successful_heartbeat"}
    if parameters(original)[:1] != ["self"] or not needed <= fields:
        raise Unfit("ActivitySubprocess looks different")

    @functools.wraps(original)
    def _on_child_started(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._last_heartbeat_attempt = self._last_successful_heartbeat

    _on_child_started.windtunnel = True  # type: ignore[attr-defined]
    return {CHILD_STARTED: _on_child_started}


@patch(
    "speed",
    COMMS_ADAPTER,
    TASK_ADAPTER,
    tested="apache-airflow-task-sdk 1.3.2",
    components=("worker",),
    late=("worker",),
)
def decoders_made_once() -> Replacements:
    """The worker makes the decoders of messages between task and supervisor; tasks inherit them.

    Cause: each task's `CommsDecoder` builds two pydantic validators for the same union of some 60
    messages, and `_serialize_rendered_fields` one for each templated field: 4 ms of its start, and
    600 pages copied. Ours: `TypeAdapter`, which has no state, is made once for each type.
    """
    from airflow.sdk.execution_time import comms, task_runner
    from pydantic import TypeAdapter

    types = (comms.ToTask, task_runner.StartupDetails, task_runner.JsonValue)
    adapters = [vars(module).get("TypeAdapter") for module in (comms, task_runner)]
    if any(adapter is not TypeAdapter for adapter in adapters):
        raise Unfit("the modules of the task do not use pydantic's TypeAdapter as before")
    once = functools.lru_cache(maxsize=None)(TypeAdapter)
    for each in types:
        once(each)  # before the first fork
    return {COMMS_ADAPTER: once, TASK_ADAPTER: once}
