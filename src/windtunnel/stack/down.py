"""`windtunnel down` and `process-compose down`: drain, stop everything, leave nothing."""

from __future__ import annotations

import signal
import time

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import held, leftovers
from windtunnel.stack.locks import exclusive
from windtunnel.stack.scale import say
from windtunnel.system import procfs

REPORT_SECONDS = 5.0
#: `down --now` kills a supervisor that is still there after this time. The next `up` reports its
#: tasks.
CUT_SECONDS = 15.0


def down(settings: Settings, *, now: bool = False) -> int:
    """Stop the stack and return when it has ended. A second call is harmless.

    Args:
        now: cut off the tasks in hand instead of waiting for them. At the next `up` their retry
            policy decides.

    Raises:
        WindtunnelError: a process could not be ended, or the stack is still there.
    """
    if not process_compose.answers(settings):
        say(f"no stack is running (state folder {settings.state})")
        return _gone(settings)
    stop = _Stop(settings, now)
    try:
        if now:
            # No lock: the command that holds it may wait for the tasks that are cut off here.
            stop.run()
        else:
            with exclusive(settings, _say_waiting):
                stop.run()
    except KeyboardInterrupt:
        if stop.begun:
            choice = "`windtunnel down` waits for it again, `windtunnel down --now` cuts tasks off"
            say(f"the stack continues to stop; {choice}")
        else:
            say("interrupted before anything was stopped")
        raise
    return _gone(settings)


def _say_waiting() -> None:
    say("another command is changing this stack; waiting for it (or: windtunnel down --now)")


class _Stop:
    """One stop of the stack, and the lines printed meanwhile.

    SIGTERM asks process-compose for its ordered shutdown, as Ctrl-C does in its terminal. It obeys
    the first signal and ignores the others. Two stop requests of its API do not: process-compose
    v1.120.0 dies when both reach a process with a probe, and the rest of the stack stays behind.
    """

    def __init__(self, settings: Settings, now: bool) -> None:
        self.settings = settings
        self.now = now
        self.begun = False
        self.cut: dict[str, held.Held] = {}

    def run(self) -> None:
        waits_for = held.tasks(self.settings)
        if self.now:
            listed = held.listing(waits_for)
            policy = "The retry policy of each decides at the next `up`"
            if listed:
                say(f"cutting off at once: {listed}. {policy}")
            else:
                say("no task is in hand: nothing is cut off")
        start = said = time.monotonic()
        if waits_for and not self.now:
            said -= REPORT_SECONDS
        client = process_compose.Compose(self.settings)
        server = process_compose.server(self.settings)
        if server is None:
            return  # It has ended since, or it runs where its pid means nothing here.
        procfs.kill(server, signal.SIGTERM)
        self.begun = True
        longest = self.settings.worker_drain_seconds + 120.0
        while procfs.alive(server.pid, server.start) and time.monotonic() - start < longest:
            if self.now:
                self._cut_off(killing=time.monotonic() - start > CUT_SECONDS)
            if time.monotonic() - said > REPORT_SECONDS:
                said = time.monotonic()
                say(f"stopping for {said - start:.0f} s; {self._waiting(client)}")
            time.sleep(0.05)
        if self.cut:
            say(f"cut off: {held.listing(list(self.cut.values()))}")

    def _waiting(self, client: process_compose.Compose) -> str:
        tasks = [] if self.now else held.tasks(self.settings)
        if not tasks:
            return f"still there: {_remaining(client)}"
        until = time.strftime("%H:%M:%S", time.localtime(max(task.until for task in tasks)))
        ceiling = f"WORKER_DRAIN_SECONDS={self.settings.worker_drain_seconds}"
        return f"waiting until {until} at most ({ceiling}) for {held.listing(tasks)}"

    def _cut_off(self, killing: bool) -> None:
        """Kill the Celery of each supervisor that drains.

        The supervisor then ends the remaining processes, writes into the tasks' logs, and reports
        the tasks as lost.
        """
        for worker in held.workers(self.settings):
            if worker.alive("celery") and (killing or worker.record.get("state") == "draining"):
                self.cut |= {task.key: task for task in worker.tasks}
                _kill(worker.is_("celery"))
            if killing:
                _kill(worker.is_("supervisor"))


def _kill(process: tuple[int, int]) -> None:
    if (found := procfs.find(*process)) is not None:
        procfs.kill(found)


def _remaining(client: process_compose.Compose) -> str:
    try:
        rows = client.processes()
    except WindtunnelError:
        return "nothing but process-compose itself"
    names = [row.name for row in rows if row.is_running or row.status == "Terminating"]
    return ", ".join(names) or "nothing but process-compose itself"


def _gone(settings: Settings) -> int:
    """End the remaining processes; return 0 only when the stack has ended."""
    code = _sweep(settings)
    if process_compose.answers(settings):
        log = settings.logs / "process-compose.log"
        raise WindtunnelError(f"a process-compose still answers at {settings.socket}: see {log}")
    return code


def _sweep(settings: Settings) -> int:
    found = leftovers.find(settings)
    if found:
        say(f"ending what was left: {leftovers.describe(found)}")
        leftovers.end_all(found)
    return Exit.OK
