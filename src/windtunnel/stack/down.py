"""`windtunnel down` and `process-compose down`: drain, stop everything, leave nothing."""

from __future__ import annotations

from windtunnel.clients import other_airflow, process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.ledger import held, temporary
from windtunnel.settings import Settings
from windtunnel.stack import leftovers
from windtunnel.stack.locks import exclusive, starting
from windtunnel.stack.say import say
from windtunnel.stack.stopping import Stop


def down(settings: Settings, *, now: bool = False) -> int:
    """Stop the stack and return when it has ended. A second call is harmless.

    Args:
        now: cut off the tasks in hand instead of waiting for them. At the next `up` their retry
            policy decides.

    Raises:
        WindtunnelError: a process could not be ended, or the stack is still there.
    """
    with starting(settings):
        server = process_compose.server(settings) or leftovers.supervisor(settings)
        if server is None:
            _say_without_process_compose(settings)
            return _gone(settings)
    stop = Stop(settings, server, now)
    try:
        if now:
            # No lock: the command that holds it may wait for the tasks that are cut off here.
            stop.run()
        else:
            with exclusive(settings, _say_waiting):
                stop.run()
    except KeyboardInterrupt:
        if stop.begun:
            stop.ask()
            choice = "`windtunnel down` waits for it again, `windtunnel down --now` cuts tasks off"
            say(f"the stack continues to stop; {choice}")
        else:
            say("interrupted before anything was stopped")
        raise
    with starting(settings):
        return _gone(settings)


def _say_without_process_compose(settings: Settings) -> None:
    """Its services lost their output with it, and most of them die: a task could not report."""
    if not leftovers.find(settings):
        other = other_airflow.running(settings)
        hint = f", but {other}" if other else ""
        say(f"no stack is running (state folder {settings.state}){hint}")
    elif tasks := held.listing(held.tasks(settings)):
        policy = "The retry policy of each decides at the next `up`"
        say(f"process-compose has died; the end of its stack cuts off: {tasks}. {policy}")


def _say_waiting() -> None:
    say("another command is changing this stack; waiting for it (or: windtunnel down --now)")


def _gone(settings: Settings) -> int:
    """End the remaining processes; return 0 only when the stack has ended."""
    found = leftovers.find(settings)
    if found:
        say(f"ending what was left: {leftovers.describe(found)}")
        leftovers.end_all(found)
    temporary.remove_all(settings.run)
    if process_compose.answers(settings):
        log = settings.logs / "process-compose.log"
        raise WindtunnelError(f"a process-compose still answers at {settings.socket}: see {log}")
    return Exit.OK
