"""Airflow's settings, from the module where its release has them."""

from __future__ import annotations

from typing import Any


def conf() -> Any:
    """Airflow's parser of its configuration. Imported late: Airflow takes a second."""
    try:
        from airflow.providers.common.compat.sdk import conf as found
    except ImportError:
        # Airflow 3.1 with the providers of its time, as a project's lock may have them.
        from airflow.configuration import conf as found

    return found
