"""`windtunnel down` and `process-compose down`: drain, stop everything, leave nothing."""

from __future__ import annotations

import os
import subprocess
import time

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stack import held, leftovers
from windtunnel.stack.locks import exclusive
from windtunnel.stack.scale import say
from windtunnel.system import procfs
from windtunnel.system.waiting import wait_for

REPORT_SECONDS = 5.0
GOING_SECONDS = 5.0
#: `down --now` kills a supervisor that is still there after this time. The next `up` reports its
#: tasks.
CUT_SECONDS = 15.0


def down(settings: Settings, binary: str, arguments: list[str], *, now: bool = False) -> int:
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
    stop = _Stop(settings, [binary, *arguments], now)
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
            say(f"the stack goes on stopping; {choice}")
        else:
            say("interrupted before anything was stopped")
        raise
    return _gone(settings)


def _say_waiting() -> None:
    say("another command is changing this stack; waiting for it (or: windtunnel down --now)")


class _Stop:
    """One call of the real `process-compose down`, and the lines printed meanwhile."""

    def __init__(self, settings: Settings, command: list[str], now: bool) -> None:
        self.settings = settings
        self.command = [*command, "-L", str(settings.logs / "process-compose-client.log")]
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
        # This stack's socket wins over the caller's environment. Without the folder process-compose
        # complains on stderr.
        env = os.environ | self.settings.environment()
        env["PROC_COMP_CONFIG"] = str(self.settings.run)
        stopping = subprocess.Popen(
            self.command,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.begun = True
        while stopping.poll() is None or self._still_answers(start):
            # A process-compose that ends during the request may break off the answer.
            if stopping.returncode and not wait_for(self._is_away, GOING_SECONDS, 0.1):
                reason = f"{_last_line(stopping)} (see {self.command[-1]})"
                raise WindtunnelError(f"process-compose could not be told to stop: {reason}")
            if self.now:
                self._cut_off(killing=time.monotonic() - start > CUT_SECONDS)
            if time.monotonic() - said > REPORT_SECONDS:
                said = time.monotonic()
                say(f"stopping for {said - start:.0f} s; {self._waiting(client)}")
            time.sleep(0.05)
        # process-compose closes its socket a moment before it ends.
        if server is not None:
            wait_for(lambda: not procfs.alive(server.pid, server.start), GOING_SECONDS, 0.05)
        if self.cut:
            say(f"cut off: {held.listing(list(self.cut.values()))}")

    def _is_away(self) -> bool:
        return not process_compose.answers(self.settings)

    def _still_answers(self, start: float) -> bool:
        """Whether the stack answers, and may still do so this long after `start`."""
        longest = self.settings.worker_drain_seconds + 120.0
        return process_compose.answers(self.settings) and time.monotonic() - start < longest

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


def _last_line(process: subprocess.Popen[str]) -> str:
    lines = process.stderr.read().strip().splitlines() if process.stderr else []
    return lines[-1] if lines else f"exit code {process.returncode}"


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
