"""A patch of the triggerer: an idle one asks the database after a notification."""

from __future__ import annotations

import functools
from typing import Any

from windtunnel.patches.base import LOOK_SECONDS, Unfit, parameters, postgresql_url
from windtunnel.patches.registry import Replacements, patch

TRIGGERER = "airflow.jobs.triggerer_job_runner:TriggerRunnerSupervisor"


@patch(
    "speed",
    f"{TRIGGERER}.load_triggers",
    f"{TRIGGERER}.clean_unused",
    tested="apache-airflow 3.3",
    components=("triggerer",),
)
def triggers_when_notified() -> Replacements:
    """A triggerer without triggers asks the database for some when there are some.

    Cause: `TriggerRunnerSupervisor.run_once` assigns, lists and cleans up triggers once a second,
    five statements, even if there is no trigger: 1 % of a core here, and a third as much in
    PostgreSQL. Ours: with none in hand it does so after a notification of a trigger without a
    triggerer. It also does so every LOOK_SECONDS, since the triggers of a dead triggerer become
    free by the clock.
    """
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor as Supervisor

    load, clean = Supervisor.load_triggers, Supervisor.clean_unused
    held = (
        "running_triggers",
        "creating_triggers",
        "cancelling_triggers",
        "events",
        "failed_triggers",
    )
    fields = {field.name for field in getattr(Supervisor, "__attrs_attrs__", ())}
    if parameters(load) != ["self"] or parameters(clean) != ["self"] or not fields.issuperset(held):
        raise Unfit("TriggerRunnerSupervisor looks different")
    url = postgresql_url()
    from windtunnel.services.database_notify import DEFERRED, Listener, Subscription

    listener = Listener(url, DEFERRED, "triggerer")
    subscription = Subscription(listener, LOOK_SECONDS)
    looked = True

    @functools.wraps(load)
    def load_triggers(self: Any) -> None:
        nonlocal looked
        # In this order: a busy triggerer takes note of the notification too.
        looked = subscription.is_due() or any(getattr(self, field) for field in held)
        if looked:
            load(self)

    @functools.wraps(clean)
    def clean_unused(self: Any) -> None:
        if looked:
            clean(self)

    return {f"{TRIGGERER}.load_triggers": load_triggers, f"{TRIGGERER}.clean_unused": clean_unused}
