"""Runs `airflow ARGUMENT ...` with a cheaper start and a quicker end.

    python -m windtunnel.runtime.component ARGUMENT ...

Airflow's start allocates about a million objects that stay. CPython's collector looks at them again
and again, for a quarter to a third of the start's processor time (docs/BENCHMARKS.md). Here it
waits for more new objects. At the end CPython deallocates the objects one by one, and for up to 1.3
s the process handles no signal. Here the kernel frees the memory. The component's patches
(windtunnel.patches) are applied before Airflow is loaded. With WINDTUNNEL_PATCHES=none the process
does none of that.
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

from windtunnel.project import record
from windtunnel.runtime.frames import with_room
from windtunnel.services import migration_gate
from windtunnel.settings import load
from windtunnel.system import pipes
from windtunnel.variables import patch_switch

#: New objects between two collections of the youngest generation.
#: CPython's default of 700 is made for short scripts; 50,000 objects take a few megabytes.
YOUNG_OBJECTS = 50_000

_frozen = False


def calm_collector() -> None:
    """Makes collections rare, and exempts the objects that exist at the first fork.

    The pages of these objects then stay shared with the children.
    """
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    os.register_at_fork(before=_freeze_once)


def _freeze_once() -> None:
    # Only once: objects in use at a later fork may become garbage, which would never be freed.
    global _frozen
    if not _frozen:
        _frozen = True
        gc.freeze()


def _exit_code(end: SystemExit) -> int:
    """CPython's exit code (pythonrun.c, handle_system_exit): None is 0, a text is printed and 1."""
    if end.code is None:
        return 0
    return end.code if isinstance(end.code, int) else 1


class QuickEnd:
    """Runs a program, and ends the process without finalizing the interpreter.

    Exit handlers run, open threads are waited for and buffers are flushed as ever. The exit code is
    the program's. After Ctrl-C the interpreter ends as ever, by that signal.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.code: int | None = None
        # Exit handlers run in reverse order, so this one runs after all that the program adds.
        # By then the interpreter has waited for the threads.
        atexit.register(self._leave)

    def run(self, program: Callable[[], object]) -> None:
        try:
            program()
            self.code = 0
        except SystemExit as end:
            self.code = _exit_code(end)
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
    """Applies the patches that must precede the component's own modules.

    celery_config.py applies the rest.
    """
    from windtunnel.patches import catalogue

    component = "worker" if arguments[:2] == ["celery", "worker"] else arguments[0]
    catalogue.apply(component)
    if component == "scheduler":
        forks_end_with_me()
    name = component
    if component == "worker":
        name = os.environ.get("WINDTUNNEL_WORKER", component)
    if component != "db":  # a one-shot
        catalogue.record(name)


def forks_end_with_me() -> None:
    """Makes the kernel kill the scheduler's forks together with the scheduler.

    So process-compose notices a killed scheduler, and starts it again within seconds.
    `airflow scheduler` forks its health-check server (scheduler_command.py, `_serve_health_check`).
    That server survives SIGKILL of the scheduler, and keeps port 8974 and the standard output open.
    process-compose waits for the end of that pipe before it looks at the exit code. So it started
    nothing for five minutes, until the probe gave up.
    This is no patch: it replaces nothing of Airflow's.
    """
    if sys.platform.startswith("linux"):
        from windtunnel.system import procfs

        os.register_at_fork(after_in_child=procfs.die_with_parent)


#: The modules that each component loads next. It loads them while the database is being migrated.
LOAD = {
    "api-server": (
        "airflow.cli.commands.api_server_command",
        "airflow.api_fastapi.app",
        "airflow.api_fastapi.core_api.routes.public",
    ),
    "scheduler": (
        "airflow.cli.commands.scheduler_command",
        "airflow.providers.celery.executors.celery_executor",
    ),
    "dag-processor": (
        "airflow.cli.commands.dag_processor_command",
        "airflow.dag_processing.manager",
    ),
    "triggerer": (
        "airflow.cli.commands.triggerer_command",
        "airflow.jobs.triggerer_job_runner",
    ),
    "celery": (
        "airflow.providers.celery.executors.celery_executor",
        "airflow.sdk.execution_time.task_runner",
    ),
}


def _load(component: str) -> None:
    """Loads modules ahead. The component itself meets a failing import again, and reports it."""
    for module in LOAD.get(component, ()):
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def main(arguments: list[str]) -> None:
    """Runs Airflow's command line, and ends with its exit code."""
    record.enter()
    plain = patch_switch.as_in_production()
    if not plain:
        calm_collector()
        pipes.widen_output()
    end = QuickEnd()
    # Airflow, celery_config and the reconciler read the command line.
    sys.argv = ["airflow", *arguments]
    setproctitle(" ".join(sys.argv))
    _patch(arguments)
    from airflow.__main__ import main as airflow

    if arguments[0] in LOAD:
        settings = load(client=False)
        if migration_gate.wait(settings, meanwhile=lambda: _load(arguments[0])):
            # `migrate` has just checked. Each component's check loads Alembic, a tenth of start-up.
            os.environ.setdefault("AIRFLOW__DATABASE__CHECK_MIGRATIONS", "False")
    if plain:
        airflow()
    else:
        with_room(lambda: end.run(airflow))


if __name__ == "__main__":
    main(sys.argv[1:])
