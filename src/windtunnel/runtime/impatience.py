"""Cluster policy (entry point `airflow.policy`): shortens waiting while a test asks for it.

Every process of Airflow loads this file, also one that windtunnel has not started. It does
something only while the state folder has a file of `Windtunnel.impatient`
(windtunnel.runtime.impatience_file).

The scheduler takes retry delays from the DAG that the DAG processor has read, so the policy
changes them there. The worker reads the DAG file anew for each try. There a callback of the task
changes the rest, because only then a mapped task has its operator.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import os
from datetime import timedelta
from typing import Any

import pluggy

from windtunnel.runtime import impatience_file
from windtunnel.runtime.impatience_file import Impatience

#: `airflow.policies.hookimpl`, which cannot be imported without Airflow's settings.
hookimpl = pluggy.HookimplMarker("airflow.policy")
#: The attributes in which sensors of Airflow's providers keep the time between two looks.
INTERVALS = (
    "poke_interval",
    "poll_interval",
    "polling_interval",
    "polling_interval_seconds",
    "polling_period_seconds",
    "poll_frequency",
    "check_interval",
    "max_wait",
)
#: Nothing becomes shorter than this, in seconds: looking all the time would slow the stack down.
LEAST = 0.1

#: What applies to the DAG whose tasks follow. Airflow calls `dag_policy` first, then `task_policy`
#: for each of its tasks (`DagBag.bag_dag`).
_applied = Impatience()


@hookimpl(trylast=True)
def dag_policy(dag: Any) -> None:
    """Name the factor on the DAG's page. A test waits until its DAG has this tag."""
    global _applied
    _applied = _now()
    if _applied.tag:
        dag.tags.add(_applied.tag)


@hookimpl(trylast=True)
def task_policy(task: Any) -> None:
    """Shorten the delays that the scheduler takes from the DAG, and add the callback."""
    # The scheduler ends a task of this kind itself, but not if it has a callback.
    if _applied.factor > impatience_file.NONE and not task.inherits_from_empty_operator:
        _shorten_task(task, _applied)


def _now() -> Impatience:
    state = os.environ.get("WINDTUNNEL_STATE")
    return impatience_file.read(os.path.join(state, "run")) if state else Impatience()  # noqa: PTH118


def _shorten_task(task: Any, impatience: Impatience) -> None:
    callbacks = _as_list(task.on_execute_callback)
    if any(getattr(callback, "func", None) is _before for callback in callbacks):
        return  # A DAG object that two files share comes here twice.
    said = []
    if task.retries:
        for name in ("retry_delay", "max_retry_delay"):
            said += _shorten(task, name, impatience.factor)
    if said or task._is_sensor or getattr(task, "retry_policy", None) is not None:
        callback = functools.partial(_before, impatience=impatience, said=tuple(said))
        task.on_execute_callback = [*callbacks, callback]


def _before(context: Any, impatience: Impatience, said: tuple[str, ...]) -> None:
    """Runs in the worker before each execution of the task, also after a pause."""
    task = context["task"]
    found = list(said)
    if task._is_sensor:
        for name in INTERVALS:
            found += _shorten(task, name, impatience.factor)
    if getattr(task, "retry_policy", None) is not None:
        task.retry_policy = _impatient_policy(task.retry_policy, impatience.factor)
        found.append("the delays of its retry policy")
    if found and not _was_said(context, impatience):
        text = f"windtunnel: waiting is {impatience.factor:g} times shorter for a test"
        logging.getLogger("windtunnel.impatience").info("%s: %s", text, ", ".join(found))


def _was_said(context: Any, impatience: Impatience) -> bool:
    """Whether an earlier part of this try has said it, before its sensor paused."""
    ti = context["ti"]
    # Its only trace: a task that was deferred goes on with another method.
    if getattr(getattr(ti, "_ti_context_from_server", None), "next_method", None):
        return True
    if not context.get("task_reschedule_count", 0):
        return False
    # Asks the API server, as every sensor that pauses does. Its first look may have been patient.
    began = ti.get_first_reschedule_date(context)
    return began is None or began.timestamp() > impatience.since


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None or callable(callbacks):
        return [callbacks] if callbacks else []
    return list(callbacks)


def _shorten(task: Any, name: str, factor: float) -> list[str]:
    """Shorten one attribute, if it is a time. Returns what was done, for people."""
    value = getattr(task, name, None)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= LEAST:
        return []
    less = max(seconds / factor, LEAST)
    try:
        setattr(task, name, timedelta(seconds=less) if isinstance(value, timedelta) else less)
    except AttributeError:
        return []  # a property that cannot be set
    return [f"{name} {seconds:g} s to {less:g} s"]


def _impatient_policy(policy: Any, factor: float) -> Any:
    """A copy whose decisions have shorter delays (Airflow 3.3)."""
    shorter = copy.copy(policy)

    def evaluate(*args: Any, **options: Any) -> Any:
        decision = policy.evaluate(*args, **options)
        if decision is None or decision.retry_delay is None:
            return decision
        seconds = decision.retry_delay.total_seconds()
        less = timedelta(seconds=max(seconds / factor, min(seconds, LEAST)))
        return dataclasses.replace(decision, retry_delay=less)

    shorter.evaluate = evaluate
    return shorter
