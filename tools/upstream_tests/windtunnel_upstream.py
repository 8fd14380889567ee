"""pytest plugin of tools/upstream-tests.

It applies our patches as the stack's components do, before Airflow is loaded.
UPSTREAM_TESTS_COMPONENTS names the components.
WINDTUNNEL_PATCHES=none makes it the run to compare with.
Each patch is then "off", which the header of the run says.
"""

from __future__ import annotations

import importlib
import os

import stand_ins

# Upstream's plugin sets the environment of its tests, before anything loads Airflow.
# It refuses to come later.
stand_ins.install(importlib.import_module("tests_common.pytest_plugin"))

from windtunnel.patches import catalogue, registry  # noqa: E402
from windtunnel.variables.patch_switch import wanted  # noqa: E402

COMPONENTS = set(os.environ["UPSTREAM_TESTS_COMPONENTS"].split(","))


def apply(*, late: bool) -> None:
    """As registry.apply, for several components in one process.

    Each patch is applied once, early where one of the components has it so.
    """
    for name, each in catalogue.PATCHES.items():
        if name in registry.outcomes:
            continue
        if any(
            (component in each.late) is late
            for component in COMPONENTS.intersection(each.components)
        ):
            registry.outcomes[name] = each.apply() if wanted(name) else registry.Outcome("off")


apply(late=False)
if "scheduler" in COMPONENTS:
    importlib.import_module(
        "airflow.jobs.scheduler_job_runner"
    )  # loaded in a scheduler when its late patches are applied
apply(late=True)


def pytest_report_header() -> list[str]:
    return [
        f"patch {name}: {outcome.state} {outcome.reason}".rstrip()
        for name, outcome in registry.outcomes.items()
    ]
