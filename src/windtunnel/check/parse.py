"""Parses one DAG file in this process, as Airflow's DAG processor does, and notes what happens.

The process is a child of `server.py`, made for this file alone. It has no database: Airflow itself
forbids it to a parsing process.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from windtunnel.check import contents
from windtunnel.check.access import Access
from windtunnel.check.answers import Answers, Objects
from windtunnel.check.deprecations import Deprecations
from windtunnel.check.faults import Faults, describe
from windtunnel.check.import_times import ImportTimes
from windtunnel.check.own_code import OwnCode


def parse(file: str, bundle: str, root: str, objects: Objects, answer: int) -> None:
    """Parse a file, write what was found, and end this process.

    Args:
        bundle: the DAG folder, which Airflow puts on the import path.
        root: the project's folder.
        answer: the descriptor that gets one line of JSON.
    """
    own = OwnCode(file, root)
    child = os.getpid()
    end = os._exit

    def finish(found: dict[str, Any], code: int = 0) -> None:
        # A process that the file forked and that came here must not answer too.
        if os.getpid() == child:
            for stream in (sys.stdout, sys.stderr):
                # The file may have put anything there.
                with contextlib.suppress(Exception):
                    stream.flush()
            _write(answer, found)
        end(code)

    def note_exit(code: int) -> None:
        finish({"exit": code, "frames": own.frames(sys._getframe(1))}, code)

    os._exit = note_exit  # type: ignore[assignment]
    _leave_crashes_alone()
    try:
        finish(_parse(file, bundle, own, objects))
    except BaseException as error:
        # Airflow lets a KeyboardInterrupt of the file through.
        found = describe(error, own)
        finish({"errors" if found["frames"] else "unchecked": [found]})


def _write(descriptor: int, found: dict[str, Any]) -> None:
    data = json.dumps(found, default=str).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def _leave_crashes_alone() -> None:
    """Let a segmentation fault end this process.

    Airflow installs a handler in Python. It never runs, and the fault repeats for ever.
    """
    original = signal.signal

    def careful(number: int, handler: Any) -> Any:
        if number == signal.SIGSEGV:
            return signal.getsignal(number)
        return original(number, handler)

    signal.signal = careful  # type: ignore[assignment]


def _parse(file: str, bundle: str, own: OwnCode, objects: Objects) -> dict[str, Any]:
    import structlog
    from airflow.dag_processing import processor
    from airflow.sdk.execution_time import supervisor, task_runner

    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    supervisor.block_orm_access()
    answers = task_runner.SUPERVISOR_COMMS = Answers(objects, own)
    faults = Faults(own)
    access = Access(own)
    deprecations = Deprecations(own)
    imports = ImportTimes(access.watch)
    dags: list[Any] = []

    class Bag(processor.BundleDagBag):  # type: ignore[misc]
        def bag_dag(self, dag: Any, *args: Any, **kwargs: Any) -> Any:
            # Airflow may find one DAG twice, by its module and by its context.
            if not any(dag is each for each in dags):
                dags.append(dag)
            return super().bag_dag(dag, *args, **kwargs)

    more = _bundle_name(processor.DagBag)
    access.switch(True)
    start = time.perf_counter()
    bag = Bag(dag_folder=file, bundle_path=Path(bundle), load_op_links=False, **more)
    seconds = time.perf_counter() - start
    # What follows may ask plugins and providers, which is no matter of this file.
    access.switch(False)
    slowest = imports.slowest(own.holds)
    _, unserializable = processor._serialize_dags(bag, structlog.get_logger(logger_name="task"))
    return {
        "seconds": seconds,
        "imports": slowest,
        "errors": faults.of([*bag.import_errors.values(), *unserializable.values()]),
        "access": list(access.found.values()),
        "deprecations": list(deprecations.found.values()),
        "asked": answers.asked,
        **contents.read(dags),
    }


def _bundle_name(bag: Any) -> dict[str, str]:
    """Airflow 3.1 has no argument for it."""
    return {"bundle_name": "check"} if "bundle_name" in inspect.signature(bag).parameters else {}
