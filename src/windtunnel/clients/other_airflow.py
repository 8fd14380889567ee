"""The stacks of a checkout's other versions of Airflow, which AIRFLOW chooses."""

from __future__ import annotations

from windtunnel.settings import OTHER_AIRFLOW, STATE, Settings, is_running


def running(settings: Settings) -> str | None:
    """Which other stack of this checkout runs, with the step; None where none does.

    People set AIRFLOW for one command and forget it for the next.
    """
    own, series = settings.root / STATE, settings.root / OTHER_AIRFLOW
    if settings.project or settings.state not in (own, *series.glob("*/state")):
        return None
    for state in sorted(series.glob("*/state")):
        if state != settings.state and is_running(state):
            name = state.parent.name
            return f"that of Airflow {name} is: put AIRFLOW={name} before the command"
    if own != settings.state and is_running(own):
        return "that of the newest Airflow is: unset AIRFLOW"
    return None
