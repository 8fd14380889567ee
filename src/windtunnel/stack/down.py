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

REPORT_SECONDS = 5.0
GOING_SECONDS = 5.0
#: A supervisor that has not ended so long after it was to be cut off is itself killed; the next `up` reports its tasks.
CUT_SECONDS = 15.0


def down(settings: Settings, binary: str, arguments: list[str], *, now: bool = False) -> int:
    """Stop the stack and wait until it is gone. A second call is harmless.

    Args:
        now: cut off the tasks in hand instead of waiting for them. Their retry policy decides when the stack is up again.

    Raises:
        WindtunnelError: a process could not be ended, or the stack is still there.
    """
    if not process_compose.answers(settings):
        say(f"no stack is running (state folder {settings.state})")
        return _gone(settings)
    stop = _Stop(settings, [binary, *arguments], now)
    try:
        if now:
            # No lock: the command that holds it may be waiting for the very tasks that are to be cut off.
            stop.run()
        else:
            with exclusive(settings, lambda: say("another command is changing this stack; waiting for it (or: windtunnel down --now)")):
                stop.run()
    except KeyboardInterrupt:
        say(
            "the stack goes on stopping; `windtunnel down` waits for it again, `windtunnel down --now` cuts tasks off"
            if stop.begun
            else "interrupted before anything was stopped"
        )
        raise
    return _gone(settings)


class _Stop:
    """One call of the real `process-compose down`, with what a person sees meanwhile."""

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
            say(f"cutting off at once: {listed}. {policy}" if listed else "no task is in hand: nothing is cut off")
        start = said = time.monotonic()
        if waits_for and not self.now:
            said -= REPORT_SECONDS
        client = process_compose.Compose(self.settings)
        server = process_compose.server(self.settings)
        # This stack's socket, whatever the caller's environment says; and a folder, without which it complains on stderr.
        env = {**os.environ, **self.settings.environment(), "PROC_COMP_CONFIG": str(self.settings.run)}
        stopping = subprocess.Popen(self.command, env=env, stderr=subprocess.PIPE, text=True, errors="replace")
        self.begun = True
        while stopping.poll() is None or (process_compose.answers(self.settings) and time.monotonic() - start < self._longest):
            # One that goes while it is asked may break off the answer.
            if stopping.returncode and not _left_within(self.settings, GOING_SECONDS):
                raise WindtunnelError(f"process-compose could not be told to stop: {_last_line(stopping)} (see {self.command[-1]})")
            if self.now:
                self._cut_off(killing=time.monotonic() - start > CUT_SECONDS)
            if time.monotonic() - said > REPORT_SECONDS:
                said = time.monotonic()
                say(f"stopping for {said - start:.0f} s; {self._waiting(client)}")
            time.sleep(0.05)
        # It closes its socket a moment before it ends.
        end = time.monotonic() + GOING_SECONDS
        while server is not None and procfs.alive(server.pid, server.start) and time.monotonic() < end:
            time.sleep(0.05)
        if self.cut:
            say(f"cut off: {held.listing(list(self.cut.values()))}")

    @property
    def _longest(self) -> float:
        return self.settings.worker_drain_seconds + 120.0

    def _waiting(self, client: process_compose.Compose) -> str:
        if not self.now and (tasks := held.tasks(self.settings)):
            until = time.strftime("%H:%M:%S", time.localtime(max(task.until for task in tasks)))
            return f"waiting until {until} at most (WORKER_DRAIN_SECONDS={self.settings.worker_drain_seconds}) for {held.listing(tasks)}"
        return f"still there: {_remaining(client)}"

    def _cut_off(self, killing: bool) -> None:
        """Kills Celery below each supervisor that drains: that one fences what is left, tells the tasks' logs, and reports them lost."""
        for worker in held.workers(self.settings):
            if worker.alive("celery") and (killing or worker.record.get("state") == "draining"):
                self.cut |= {task.key: task for task in worker.tasks}
                _kill(worker.is_("celery"))
            if killing:
                _kill(worker.is_("supervisor"))


def _left_within(settings: Settings, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while process_compose.answers(settings):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _last_line(process: subprocess.Popen[str]) -> str:
    lines = process.stderr.read().strip().splitlines() if process.stderr else []
    return lines[-1] if lines else f"exit code {process.returncode}"


def _kill(process: tuple[int, int]) -> None:
    if (found := procfs.find(*process)) is not None:
        procfs.kill(found)


def _remaining(client: process_compose.Compose) -> str:
    try:
        names = [p.name for p in client.processes() if p.is_running or p.status == "Terminating"]
    except WindtunnelError:
        return "nothing but process-compose itself"
    return ", ".join(names) or "nothing but process-compose itself"


def _gone(settings: Settings) -> int:
    """Ends what is left; says 0 only for a stack that is not there any more."""
    code = _sweep(settings)
    if process_compose.answers(settings):
        raise WindtunnelError(f"a process-compose still answers at {settings.socket}: see {settings.logs / 'process-compose.log'}")
    return code


def _sweep(settings: Settings) -> int:
    if found := leftovers.find(settings):
        say(f"ending what was left: {leftovers.describe(found)}")
        leftovers.end_all(found)
    return Exit.OK
