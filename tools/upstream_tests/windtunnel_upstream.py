"""pytest plugin of tools/upstream-tests: applies our patches as the stack's components do, before Airflow is loaded.

UPSTREAM_TESTS_COMPONENTS names the components. WINDTUNNEL_PATCHES=none makes it the run to compare with: each patch is then
"off", which the header of the run says.
"""

from __future__ import annotations

import importlib
import os

import stand_ins

# Upstream's plugin sets the environment of its tests, before anything loads Airflow; it refuses to come later.
stand_ins.install(importlib.import_module("tests_common.pytest_plugin"))

from windtunnel import _upstream  # noqa: E402
from windtunnel._upstream import registry  # noqa: E402

COMPONENTS = os.environ["UPSTREAM_TESTS_COMPONENTS"].split(",")
for late in (False, True):
    for component in COMPONENTS:
        _upstream.apply(component, late=late)


def pytest_report_header() -> list[str]:
    return [f"patch {name}: {outcome.state} {outcome.reason}".rstrip() for name, outcome in registry.outcomes.items()]
