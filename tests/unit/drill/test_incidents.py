"""The reports of a supervisor, in the lines of any machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from windtunnel.drill import incidents
from windtunnel.drill.remote_cluster import NixosCluster
from windtunnel.system.events import Event


def event(time: float, name: str, level: str = "warning", component: str = "worker-0") -> Event:
    text = f"{name} at {time:.1f}"
    return {"time": time, "component": component, "event": name, "level": level, "text": text}


EVENTS = [
    event(10.0, "celery_ended"),
    event(20.0, "state", "info"),
    event(21.0, "state", component="worker-1"),
    event(22.4, "state"),
    event(23.0, "task_lost"),
]


@pytest.mark.parametrize(
    ("since", "name", "found"),
    [
        (5.0, "", "celery_ended at 10.0"),
        (20.0, "", "state at 22.4"),
        (20.0, "task_lost", "task_lost at 23.0"),
        (20.0, "state", "state at 20.0"),
        (23.1, "", None),
        (5.0, "cut_off", None),
    ],
)
def test_the_first_report_since_a_moment_is_found(
    since: float, name: str, found: str | None
) -> None:
    assert incidents.first(EVENTS, "worker-0", since, name) == found


class Machine:
    """Answers a command with lines of events."""

    name = "host"

    def __init__(self) -> None:
        self.commands: list[str] = []

    def execute(self, command: str) -> tuple[int, str]:
        self.commands.append(command)
        return 0, "".join(f"{json.dumps(each)}\n" for each in EVENTS) + '{"time": 2'

    def block(self) -> None: ...
    def unblock(self) -> None: ...


def test_a_cluster_of_machines_reads_the_events_of_the_worker_s_machine() -> None:
    workers, others = Machine(), Machine()
    roles: dict[str, Any] = {"api-server": others, "worker-0": workers}
    cluster = NixosCluster(roles)
    # 22.4 on the worker's clock was 22.9 on this one's.
    assert cluster.incident("worker-0", 22.9) == "state at 22.4"
    assert cluster.incident("worker-0", 22.9, "task_lost") == "task_lost at 23.0"
    assert not others.commands
    assert "/logs/events.jsonl" in workers.commands[0]
