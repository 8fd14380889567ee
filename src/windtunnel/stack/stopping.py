"""One stop of a stack, and the lines printed meanwhile."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

from windtunnel.clients import process_compose
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import held
from windtunnel.settings import Settings
from windtunnel.stack.say import say
from windtunnel.system import procfs

REPORT_SECONDS = 5.0
#: The pause between two reports doubles up to this.
REPORT_MOST_SECONDS = 30.0
#: `down --now` kills a supervisor that is still there after this time. The next `up` reports its
#: tasks.
CUT_SECONDS = 15.0
#: All other processes have this time to end after the last task, then they are killed.
END_SECONDS = 120.0


class Stop:
    """Stops a stack whose process-compose lives.

    While process-compose stops the whole stack, it restarts nothing: a task could not report its
    end to an API server or database that died meanwhile. So workers with tasks in hand end first.
    SIGTERM then asks process-compose for its ordered shutdown, as Ctrl-C does in its terminal. It
    obeys the first signal and ignores the others. Two stop requests of its API end
    process-compose v1.120.0 itself when both reach a process with a probe. Then the rest of the
    stack stays behind.
    """

    def __init__(self, settings: Settings, server: procfs.Process, now: bool) -> None:
        self.settings = settings
        self.server = server
        self.now = now
        self.begun = False
        self.client = process_compose.Compose(settings)
        self.start = self.said = time.monotonic()
        self.pause = REPORT_SECONDS
        self.cut: dict[str, held.Held] = {}

    def run(self) -> None:
        self.begun = True
        waits_for = held.tasks(self.settings)
        if self.now:
            listed = held.listing(waits_for)
            policy = "The retry policy of each decides at the next `up`"
            if listed:
                say(f"cutting off at once: {listed}. {policy}")
            else:
                say("no task is in hand: nothing is cut off")
        # A stopped process (Ctrl-Z, a debugger) handles no signal and answers nobody.
        procfs.kill(self.server, signal.SIGCONT)
        if waits_for and not self.now:
            self.said -= self.pause
            self._drain()
        self.ask()
        ends = time.monotonic() + END_SECONDS
        if not self.now:
            ends += self.settings.worker_drain_seconds
        while self._is_there() and time.monotonic() < ends:
            if self.now:
                self._cut_off(killing=time.monotonic() - self.start > CUT_SECONDS)
            self._report()
            time.sleep(0.05)
        if self.cut:
            say(f"cut off: {held.listing(list(self.cut.values()))}")

    def ask(self) -> None:
        """Ask process-compose to stop the stack; asking again changes nothing."""
        procfs.kill(self.server, signal.SIGTERM)

    def _is_there(self) -> bool:
        return procfs.alive(self.server.pid, self.server.start)

    def _report(self) -> None:
        if time.monotonic() - self.said > self.pause:
            self.said = time.monotonic()
            self.pause = min(2 * self.pause, REPORT_MOST_SECONDS)
            say(f"stopping for {self.said - self.start:.0f} s; {self._waiting()}")

    def _drain(self) -> None:
        """Let the workers end, while process-compose still restarts what they need."""
        try:
            rows = [row for row in self.client.processes() if row.name.startswith("worker")]
        except WindtunnelError:
            return  # It cannot be asked; its shutdown drains the workers as well.
        # Each call returns when its worker has ended.
        calls = [
            threading.Thread(target=self._stop_worker, args=[row.name], daemon=True)
            for row in rows
            if row.is_running
        ]
        for call in calls:
            call.start()
        while any(call.is_alive() for call in calls) and self._is_there():
            self._report()
            time.sleep(0.05)

    def _stop_worker(self, name: str) -> None:
        with contextlib.suppress(WindtunnelError):
            self.client.stop(name)
            if self.client.process(name).exit_code != 0:
                node = process_compose.node(name)
                policy = "the retry policy of each decides at the next `up`"
                say(f"{node} ended with tasks in hand, and its log names them; {policy}")

    def _waiting(self) -> str:
        tasks = [] if self.now else held.tasks(self.settings)
        if not tasks:
            return f"still there: {_remaining(self.client)}"
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
