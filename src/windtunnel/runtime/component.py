"""`python -m windtunnel.runtime.component ARGUMENT ...`: what `airflow ARGUMENT ...` does, started for a long life and ended at once.

Airflow's start allocates about a million objects that stay. CPython's collector looks at them again and again while it
grows, a quarter to a third of the processor time of the start (docs/BENCHMARKS.md); here it waits for more of them. At the
end CPython takes them apart one by one, up to 1.3 s in which the process is there and deaf; here the kernel does that. The
component's patches (windtunnel.patches) are applied before Airflow is loaded. With WINDTUNNEL_PATCHES=none: none of all that.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable

from setproctitle import setproctitle

from windtunnel.services import migration_gate
from windtunnel.settings import load
from windtunnel.variables import patch_switch

#: New objects between two looks at the youngest of them. CPython's 700 is made for short scripts; 50,000 hold a few megabytes.
YOUNG_OBJECTS = 50_000

#: Eight bytes each: 320 of 512 KiB.
FRAME_SLOTS = 40_960

_frozen = False


def calm_collector() -> None:
    """Fewer collections, and none of what is there at the first fork: its pages then stay shared with the children."""
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    os.register_at_fork(before=_freeze_once)


def _freeze_once() -> None:
    # Only once: what is in use at a later fork may become garbage, which would then never be freed.
    global _frozen
    if not _frozen:
        _frozen = True
        gc.freeze()


def with_room(program: Callable[[], None]) -> None:
    """Calls it with room for the frames of a deep program in one piece.

    CPython 3.11 keeps Python frames in chunks of 16 KiB, mapped when a call needs a new one and unmapped when it returns
    (pystate.c, push_chunk; _PyThreadState_PopFrame). A loop whose calls cross the border pays for that in every turn, and a
    task is a fork from wherever its worker stood: 2,700 page faults more for a DAG of 120 tasks. A first frame that asks
    for FRAME_SLOTS gets a chunk of the next power of two, and what it does not use, and never touches, is for the rest.
    """
    program()


with_room.__code__ = with_room.__code__.replace(co_stacksize=FRAME_SLOTS)


class QuickEnd:
    """Runs a program to its end: exit handlers, open threads and buffers as ever, then no taking apart of the interpreter.

    The exit code is the program's. An end by Ctrl-C stays the interpreter's, which ends itself by that signal.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.code: int | None = None
        # Exit handlers run in reverse order, so this one after all that the program adds; threads have been waited for.
        atexit.register(self._leave)

    def run(self, program: Callable[[], object]) -> None:
        try:
            program()
            self.code = 0
        except SystemExit as end:
            # As CPython does it (pythonrun.c, handle_system_exit): none is 0, anything but a number is printed and 1.
            self.code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            raise
        except Exception:
            self.code = 1
            raise

    def _leave(self) -> None:
        if self.code is None or os.getpid() != self.pid:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(self.code & 0xFF)


def _patch(arguments: list[str]) -> None:
    """What must be in place before the component's own modules are loaded; celery_config.py applies the rest."""
    from windtunnel.patches import catalogue

    component = "worker" if arguments[:2] == ["celery", "worker"] else arguments[0]
    catalogue.apply(component)
    if component == "scheduler":
        forks_end_with_me()
    if component != "db":  # a one-shot
        catalogue.record(os.environ.get("WINDTUNNEL_WORKER", component) if component == "worker" else component)


def forks_end_with_me() -> None:
    """A killed scheduler is seen to be dead, and started again within seconds.

    `airflow scheduler` forks its health-check server (scheduler_command.py, `_serve_health_check`), which survives SIGKILL of
    the scheduler, keeps port 8974, and keeps its standard output open: process-compose waits for the end of that pipe before
    it looks at the exit code, so nothing was started again for five minutes (until the probe gave up). Here the kernel ends what
    the scheduler forked together with it. No patch: nothing of Airflow's is replaced.
    """
    if sys.platform.startswith("linux"):
        from windtunnel.system import procfs

        os.register_at_fork(after_in_child=procfs.die_with_parent)


#: What each would load next, loaded while the database is still being created or migrated.
LOAD = {
    "api-server": ("airflow.cli.commands.api_server_command", "airflow.api_fastapi.app", "airflow.api_fastapi.core_api.routes.public"),
    "scheduler": ("airflow.cli.commands.scheduler_command", "airflow.providers.celery.executors.celery_executor"),
    "dag-processor": ("airflow.cli.commands.dag_processor_command", "airflow.dag_processing.manager"),
    "triggerer": ("airflow.cli.commands.triggerer_command", "airflow.jobs.triggerer_job_runner"),
    "celery": ("airflow.providers.celery.executors.celery_executor", "airflow.sdk.execution_time.task_runner"),
}


def _load(component: str) -> None:
    """Loads ahead; what is missing or fails is met again, and then reported, by the component itself."""
    for module in LOAD.get(component, ()):
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def main(arguments: list[str]) -> None:
    """Becomes Airflow's command line; ends as it ends."""
    plain = patch_switch.as_in_production()
    if not plain:
        calm_collector()
    end = QuickEnd()
    # Airflow, celery_config and the reconciler look at the command line.
    sys.argv = ["airflow", *arguments]
    setproctitle(" ".join(sys.argv))
    _patch(arguments)
    from airflow.__main__ import main as airflow

    if arguments[0] in LOAD:
        settings = load(client=False)
        if migration_gate.wait(settings, meanwhile=lambda: _load(arguments[0])):
            # `migrate` has just looked; each component's own look would load Alembic, a tenth of its start.
            os.environ.setdefault("AIRFLOW__DATABASE__CHECK_MIGRATIONS", "False")
    if plain:
        airflow()
    else:
        with_room(lambda: end.run(airflow))


if __name__ == "__main__":
    main(sys.argv[1:])
