"""Receivers of Celery's signals in a worker.

They name the node, load modules before the pool forks, and keep the ledger. Every receiver does
nothing outside a worker of ours. Celery logs and swallows the exceptions of a receiver.
Over 200 lines, because all receivers are in one place.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import signals

from windtunnel.ledger import ledger, temporary
from windtunnel.ledger.task_log import tell_log
from windtunnel.ledger.task_processes import TASK_VARIABLE
from windtunnel.runtime import airflow_conf, debugger, version_skew
from windtunnel.system import procfs

#: Loaded once in the worker's main process. Otherwise each forked task process would need 0.1 to
#: 0.3 s to load them.
PRELOAD = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    # `@dag`, `@task` and the like load these on first use, or the first task of a pool child does.
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.version",
    "cffi.cparser",
)

_files: ledger.WorkerFiles | None = None
_pool_child = 0


def take_name(instance: Any = None, **_: Any) -> None:
    """Names the node before anything uses the name.

    `-H` would do so too, but Airflow then asks all workers first (1 s, 6 s in an outage).
    """
    name = os.environ.get("WINDTUNNEL_WORKER")
    if name and "@" in getattr(instance, "hostname", ""):
        _, _, host = instance.hostname.rpartition("@")
        instance.hostname = f"{name}@{host}"


def note_temporary_folder(**_: Any) -> None:
    """In the main process, before it makes its pool."""
    if _files:
        temporary.note(_files)


def preload(**_: Any) -> None:
    """Runs before Airflow's own receiver, which ends with gc.freeze().

    So the pages of the loaded modules stay shared with the pool.
    """
    for module in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    version_skew.packages()
    version_skew.host()


def let_another_go_first(**_: Any) -> None:
    """Just before the pool starts: another worker takes the retries of lost tasks first."""
    time.sleep(max(0.0, float(os.environ.pop(ledger.SERVE_AT, "0")) - time.monotonic()))


def received(request: Any = None, **_: Any) -> None:
    """In the main process: records that this worker holds the message."""
    if _files and request is not None:
        _files.receive(request.id, {"received": time.time()})


def begin(task_id: str = "", task: Any = None, args: Any = (), **_: Any) -> None:
    """In the pool child, just before the task: records who runs it, and where its log is."""
    if not _files:
        return
    os.environ[TASK_VARIABLE] = task_id
    pid, start = _me()
    entry: dict[str, Any] = {"pid": pid, "start": start, "started": time.time()}
    workload = version_skew.workload(args)
    ti = workload.get("ti") or {}
    for key in ("id", "dag_id", "task_id", "run_id", "map_index", "try_number"):
        entry[key] = ti.get(key)
    callback = workload.get("callback")
    if callback:
        data = callback.get("data") or {}
        entry |= {"callback": callback.get("id"), "path": data.get("path")}
    if workload.get("log_path"):
        entry["log"] = str(Path(_log_folder()) / workload["log_path"])
    _files.claim(task_id, entry)
    debugger.take(_files.run, ti)
    request = getattr(task, "request", None)
    compare(_files, getattr(request, version_skew.HEADER, None), workload, entry)


def compare(
    files: ledger.WorkerFiles,
    theirs: Any,
    workload: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> None:
    """Reports where this worker differs from the scheduler.

    Each task's log gets the line every time, the worker's own log once.
    """
    for subject, difference in version_skew.differences(theirs, workload).items():
        if difference:
            with contextlib.suppress(Exception):
                from airflow.sdk.log import init_log_file

                # Airflow opens the file a moment later; this gives it the modes that Airflow gives.
                init_log_file(workload["log_path"])
            text = f"{difference}. An import error may come from that."
            tell_log(entry, text, level="warning")
        if files.note_skew(subject, difference):
            print(f"windtunnel: {difference}", flush=True)


def end(task_id: str = "", **_: Any) -> None:
    os.environ.pop(TASK_VARIABLE, None)
    debugger.forget()
    if _files:
        _files.release(task_id, *_me())


def _me() -> tuple[int, int]:
    """This process: its pid, and when it started in clock ticks since boot."""
    found = procfs.read(os.getpid())
    return os.getpid(), found.start if found else 0


def _log_folder() -> str:
    return str(airflow_conf.conf().get("logging", "base_log_folder"))


def tie_task_process(**_: Any) -> None:
    """In each new pool child: makes the kernel kill the task process when the pool child ends.

    Airflow does not arrange that (supervisor.py, `WatchedSubprocess.start`), so a killed worker
    would leave tasks running.
    """
    global _pool_child
    if _files and _pool_child != os.getpid():
        first = _pool_child == 0
        _pool_child = os.getpid()
        # windtunnel.runtime.component raises the threshold while Airflow loads. Tasks need
        # CPython's default, because their objects do not stay.
        gc.set_threshold(700, 10, 10)
        if first:
            os.register_at_fork(after_in_child=_begin_task_process)


def _begin_task_process() -> None:
    if os.getppid() == _pool_child:  # not in a process that the task itself forks
        procfs.die_with_parent()
        # Inherited objects stay uncollected: each page that the collector touches would be copied.
        gc.freeze()
        debugger.arm()


def stopping(**_: Any) -> None:
    """In the main process: records that the end was asked for, so that exit code 0 is a drain."""
    if _files:
        _files.stopping.touch()  # empty, since that needs no room on a full disk


def connect() -> None:
    """Idempotent."""
    global _files
    _files = ledger.WorkerFiles.of_this_process()
    if _files is None:
        return
    _files.create()
    _files.forget_skew()
    for signal, receiver in (
        (signals.celeryd_init, take_name),
        (signals.celeryd_init, note_temporary_folder),
        (signals.import_modules, preload),
        (signals.celeryd_after_setup, let_another_go_first),
        (signals.task_received, received),
        (signals.task_prerun, begin),
        (signals.task_postrun, end),
        (signals.worker_process_init, tie_task_process),
        (signals.worker_shutting_down, stopping),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"windtunnel-{receiver.__name__}")
