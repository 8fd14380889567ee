"""`windtunnel debug`: a run in which one task waits on its worker for a debugger."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windtunnel.clients.airflow import Airflow
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.ledger import debug_request, ledger
from windtunnel.ledger.debug_request import ATTACHED, LISTENING, OVER, Request
from windtunnel.project import record
from windtunnel.services import debugpy_wheel
from windtunnel.settings import Settings
from windtunnel.stack import ports
from windtunnel.stack.run_dag import Outcome, find_dag, follow
from windtunnel.system import procfs


def debug(
    settings: Settings,
    dag_id: str,
    task: str,
    conf: dict[str, Any],
    port: int | None,
    seconds: float,
    say: Callable[[str], None],
) -> Outcome:
    """Trigger a run, show how to attach when the task waits, and follow the run to its end.

    Args:
        task: a task id, or `ID[INDEX]` for one of a mapped task.
        port: None for a free one.
        seconds: how long the task waits.

    Raises:
        UsageError: there is no such DAG or task.
        WindtunnelError: the port is taken, or debugpy cannot be had.
    """
    airflow = Airflow(settings)
    find_dag(settings, airflow, dag_id, say)
    task_id, map_index = _named(airflow, dag_id, task)
    package = debugpy_wheel.make(settings, record.interpreter(settings.state))
    me = procfs.read(os.getpid())
    request = Request(
        dag_id=dag_id,
        run_id=f"debug__{datetime.now(UTC).isoformat()}",
        task_id=task_id,
        map_index=map_index,
        try_number=1,
        port=_port(port),
        seconds=seconds,
        package=str(package),
        pid=os.getpid(),
        start=me.start if me else 0,
    )
    with debug_request.offered(settings.run, request) as taken:
        watch = Watch(request, task, taken, settings.project or settings.root, say)
        airflow.trigger(dag_id, conf, request.run_id)
        outcome = follow(airflow, dag_id, request.run_id, math.inf, say, watch.look)
    if watch.said != ATTACHED:
        say(f"{task} was not debugged{f': {watch.why}' if watch.why else ''}")
    return outcome


def _named(airflow: Airflow, dag_id: str, task: str) -> tuple[str, int | None]:
    known = airflow.task_ids(dag_id)
    index = re.fullmatch(r"(.+)\[(\d+)\]", task)
    task_id, map_index = (index[1], int(index[2])) if index else (task, None)
    if task_id not in known:
        raise UsageError(f"{dag_id} has no task {task_id!r}; it has {', '.join(sorted(known))}")
    return task_id, map_index


def _port(wanted: int | None) -> int:
    """A port that is free now.

    Raises:
        WindtunnelError: the wanted one is taken.
    """
    if wanted is None:
        return ports.free_port()
    if ports.is_taken(wanted):
        raise WindtunnelError(f"port {wanted} is taken by {ports.holder(wanted)}: choose another")
    return wanted


class Watch:
    """Says once how far the task is."""

    def __init__(
        self, request: Request, task: str, taken: Path, root: Path, say: Callable[[str], None]
    ) -> None:
        self.request = request
        self.task = task
        self.taken = taken
        self.root = root
        self.say = say
        self.said = ""
        self.why = "it did not begin on a worker of this machine"

    def look(self) -> None:
        found = ledger.read(self.taken)
        state = str(found.get("state", ""))
        if found and not state:
            self.why = "its process did not wait; see its log"
        if state == self.said:
            return
        self.said = state
        if state == LISTENING:
            self.why = "no debugger came"
            self.say(f"{self.task} waits for a debugger, {self.request.seconds:g} s at most")
            print(vs_code(self.request), pycharm(self.request, self.root), sep="\n", flush=True)
        elif state == ATTACHED:
            self.say("a debugger is attached")
        elif state == OVER:
            self.why = str(found.get("why", ""))
            self.say(f"no debugger is attached ({self.why}): {self.task} goes on")


def vs_code(request: Request) -> str:
    """The entry for `configurations` of `.vscode/launch.json`, in one line."""
    entry = {
        "name": f"{request.dag_id} {request.task_id}",
        "type": "debugpy",
        "request": "attach",
        "connect": {"host": "127.0.0.1", "port": request.port},
        "justMyCode": False,
    }
    return f"VS Code, .vscode/launch.json: {json.dumps(entry)}"


def pycharm(request: Request, root: Path) -> str:
    """The fields of PyCharm's run configuration (jetbrains.com/help/pycharm, "Attach to DAP")."""
    fields = f"remote address 127.0.0.1:{request.port}, remote project path {root}"
    return f"PyCharm 2025.3 or newer, Run | Edit Configurations | Attach to DAP: {fields}"
