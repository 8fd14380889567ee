"""`python -m windtunnel.component ARGUMENT ...`: what `airflow ARGUMENT ...` does, started for a long life.

Airflow's start allocates about a million objects that stay. CPython's collector looks at them again and again while it
grows, a quarter to a third of the processor time of the start (docs/BENCHMARKS.md); here it waits for more of them. The
component's patches (windtunnel._upstream) are applied before Airflow is loaded.
"""

from __future__ import annotations

import gc
import os
import sys

from setproctitle import setproctitle

#: New objects between two looks at the youngest of them. CPython's 700 is made for short scripts; 50,000 hold a few megabytes.
YOUNG_OBJECTS = 50_000

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


def _patch(component: str) -> None:
    """What must be in place before the component's own modules are loaded; celery_config.py applies the rest."""
    from windtunnel import _upstream

    if component == "api-server":
        _upstream.routes_are_built_when_used()
        _upstream.newest_execution_api_first()
    elif component in ("dag-processor", "triggerer"):
        _upstream.in_process_api_when_asked(component)


def main(arguments: list[str]) -> None:
    """Becomes Airflow's command line; ends as it ends."""
    calm_collector()
    # Airflow, celery_config and the reconciler look at the command line.
    sys.argv = ["airflow", *arguments]
    setproctitle(" ".join(sys.argv))
    _patch(*arguments[:1])
    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main(sys.argv[1:])
