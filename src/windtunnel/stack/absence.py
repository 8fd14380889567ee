"""Why a stack does not answer: none runs, its process-compose is stopped, or it has died alone."""

from __future__ import annotations

from windtunnel.clients import process_compose
from windtunnel.errors import NoStackError, UsageError, WindtunnelError
from windtunnel.ledger import held
from windtunnel.settings import Settings, load


def explained(error: WindtunnelError) -> WindtunnelError:
    """The better error where the stack itself is away; else the error itself."""
    if not isinstance(error, NoStackError):
        return error
    try:
        return cause(load()) or error
    except UsageError:
        return error


def cause(settings: Settings) -> WindtunnelError | None:
    """The error that names it; None where process-compose works, and another part is away.

    Raises:
        UsageError: this user may not look.
    """
    if not process_compose.answers(settings) and any(held.workers(settings)):
        tasks = held.listing(held.tasks(settings)) or "none"
        fault = f"process-compose has died, and its stack still runs (tasks in hand: {tasks})"
        step = f"`{settings.start_command}` ends what it left, and starts it again"
        policy = "the retry policy of each task decides"
        return NoStackError(f"{fault}: {step}; {policy}")
    try:
        process_compose.require(settings)
    except WindtunnelError as error:
        return error
    return None
