"""WINDTUNNEL_PATCHES: the patches that a person wants.

`all` (the default), `none`, names to keep, or names with a minus to leave out.
"""

from __future__ import annotations

import difflib
import os

from windtunnel.errors import UsageError

VARIABLE = "WINDTUNNEL_PATCHES"
#: The patches of windtunnel.patches, named here so that a wrong name is refused without loading
#: them. A test keeps the two lists equal.
NAMES = (
    "dag_processor_api_when_asked",
    "decoders_made_once",
    "environments_hold_no_dags",
    "files_when_notified",
    "first_heartbeat_later",
    "flower_looks_again_soon",
    "free_slot_at_once",
    "keep_result_connection",
    "libcst_when_asked",
    "log_server_when_asked",
    "middlewares_step_aside",
    "newest_execution_api_first",
    "operators_cost_less",
    "refused_requests_end_soon",
    "routes_are_built_when_used",
    "task_log_survives_full_disk",
    "triggerer_api_when_asked",
    "triggers_when_notified",
    "wake_scheduler",
)


def choice(text: str | None = None) -> str:
    """The value without blanks, by default this process's variable; `all` when it is empty."""
    value = os.environ.get(VARIABLE, "") if text is None else text
    return value.replace(" ", "") or "all"


def wanted(name: str, text: str | None = None) -> bool:
    """Whether a patch is switched on."""
    chosen = choice(text)
    if chosen in ("all", "none"):
        return chosen == "all"
    names = chosen.split(",")
    if chosen.startswith("-"):
        return f"-{name}" not in names
    return name in names


def triggers_wanted() -> bool:
    """Whether the database gets our triggers: only patches listen to their notifications."""
    return choice() != "none"


def as_in_production() -> bool:
    """Whether each component runs only Airflow's own command."""
    return choice() == "none"


def checked(text: str) -> str:
    """The choice, without blanks.

    Raises:
        UsageError: a name is unknown, or names to keep are mixed with names to leave out.
    """
    chosen = choice(text)
    if chosen in ("all", "none"):
        return chosen
    names = chosen.split(",")
    if len({name.startswith("-") for name in names}) > 1:
        mixed = f"{VARIABLE}={text!r} mixes names to keep with names to leave out"
        raise UsageError(f"{mixed}: write all of them with a minus, or none")
    for name in (each.removeprefix("-") for each in names):
        if name in ("all", "none"):
            raise UsageError(f"{VARIABLE}={text!r}: {name!r} cannot be combined")
        if name not in NAMES:
            near = difflib.get_close_matches(name, [*NAMES, "all", "none"])
            hint = f"the patches are {', '.join(NAMES)}"
            if near:
                hint = f"did you mean {near[0]!r}?"
            raise UsageError(f"{VARIABLE}: there is no patch {name!r}: {hint} (or set all or none)")
    return chosen
