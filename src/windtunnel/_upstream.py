"""Every place where this project reaches into Airflow. Each patch names the fault, the versions it is for and what it needs.

A patch is applied only where its target looks as expected; otherwise one warning is logged and Airflow runs unpatched, which
is slower and never wrong. docs/reference/upstream.md tells the stories; tests/unit/test_upstream.py fails when one is no
longer needed.
"""

from __future__ import annotations

import inspect
import logging
import os
import selectors
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)


def _skip(patch: str, why: str) -> bool:
    log.warning("windtunnel: patch %r is not applied: %s (docs/reference/upstream.md)", patch, why)
    return False


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


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


def free_slot_at_once() -> bool:
    """A finished task frees its worker slot at once instead of up to 5 s later.

    Fault: `WatchedSubprocess._service_subprocess` waits in select for min_heartbeat_interval. When the task's sockets reach
    EOF an instant before the process can be reaped, nothing is left to wake the select. One task in ten is hit.
    For: apache-airflow-task-sdk 1.0 to 1.3.2, no upstream report found. Ours: the process itself, as a pidfd, is watched too.
    Returns whether it was applied.
    """
    name = "free_slot_at_once"
    if not hasattr(os, "pidfd_open"):
        return _skip(name, "this platform has no pidfd_open")
    try:
        from airflow.sdk.execution_time.supervisor import WatchedSubprocess

        original = WatchedSubprocess._register_pipe_readers
    except (ImportError, AttributeError) as error:
        return _skip(name, str(error))
    if getattr(original, "windtunnel", False):
        return True
    fields = getattr(WatchedSubprocess, "__attrs_attrs__", None)
    if _parameters(original)[:1] != ["self"] or not {"selector", "pid"} <= {a.name for a in fields or ()}:
        return _skip(name, "WatchedSubprocess looks different")

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
    WatchedSubprocess._register_pipe_readers = _register_pipe_readers
    return True


def wake_scheduler() -> bool:
    """The scheduler's idle sleep ends as soon as the database says that there is work.

    Cause: the loop ends with `time.sleep(scheduler_idle_sleep_time)`; a chain of tasks pays that once per task (40 tasks: 45 s).
    For: apache-airflow 3.0 to 3.3. Ours: the name `time` inside that one module is a stand-in whose `sleep` waits for
    NOTIFY (triggers: windtunnel.wake) for as long as the sleep would have lasted, and which sleeps plainly on any trouble.
    Returns whether it was applied.
    """
    name = "wake_scheduler"
    module: ModuleType | None = sys.modules.get("airflow.jobs.scheduler_job_runner")
    if module is None:
        return _skip(name, "the scheduler's module is not loaded yet")
    if module.__dict__.get("time") is not time:
        return _skip(name, "the scheduler's module does not use the name `time` as before")
    from airflow.configuration import conf

    from windtunnel.wake import Alarm

    url = conf.get_mandatory_value("database", "sql_alchemy_conn")
    if not url.startswith("postgresql"):
        return _skip(name, "the database is not PostgreSQL")
    alarm = Alarm(url)

    class WakingTime(ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            return getattr(time, attribute)

        def sleep(self, seconds: float) -> None:
            alarm.wait(seconds)

    module.__dict__["time"] = WakingTime("time")
    return True


def health_server_ends_with_scheduler() -> bool:
    """A killed scheduler is seen to be dead, and started again within seconds.

    Fault: `airflow scheduler` forks its health-check server (scheduler_command.py, `_serve_health_check`), which survives
    SIGKILL of the scheduler, keeps port 8974, and keeps its standard output open: process-compose waits for the end of that
    pipe before it looks at the exit code, so nothing was started again for five minutes (until the probe gave up).
    For: apache-airflow 3.0 to 3.3, no upstream report found. Ours: what the scheduler forks is ended with it by the kernel.
    Returns whether it was applied.
    """
    if not sys.platform.startswith("linux"):
        return _skip("health_server_ends_with_scheduler", "this platform has no PR_SET_PDEATHSIG")
    from windtunnel import procfs

    # The executor, and so this module, is loaded before that fork (Job() in scheduler_command.py).
    os.register_at_fork(after_in_child=procfs.die_with_parent)
    return True
