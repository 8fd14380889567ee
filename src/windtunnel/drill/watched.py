"""A cluster that notes what it does to the stack."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from signal import SIGKILL, Signals
from typing import Any

from windtunnel.drill.cluster import LocalStack, Mark
from windtunnel.drill.recording import Act, Recording, label


class Watched:
    """Implements `LocalStack`: what is not here is the cluster's own."""

    def __init__(self, cluster: LocalStack, recording: Recording) -> None:
        self._cluster, self._recording = cluster, recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def _note(self, what: str, component: str = "") -> None:
        self._recording.acts.append(Act(time.time(), what, component))

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        posted = time.time()
        run_id = self._cluster.trigger(dag_id, conf)
        self._recording.runs[dag_id, run_id] = posted
        return run_id

    def stop(self, service: str) -> None:
        self._note(f"stops {service}", service)
        self._cluster.stop(service)

    def start(self, service: str) -> None:
        self._note(f"starts {service}", service)
        self._cluster.start(service)

    def kill(self, service: str, signal: int = SIGKILL) -> None:
        name, _, part = service.partition("/")
        whom = f"the {part} of {name}" if part else name
        self._note(f"sends {Signals(signal).name} to {whom}", name)
        self._cluster.kill(service, signal)

    def kill_process(self, mark: Mark) -> None:
        task = f"{mark.dag_id}.{label(mark.task_id, mark.map_index)}"
        self._note(f"sends SIGKILL to the process of {task}", mark.worker)
        self._cluster.kill_process(mark)

    def scale(self, workers: int) -> None:
        last = {s.component: s.state for s in self._recording.spans if s.component[-1:].isdigit()}
        if sum(state != "away" for state in last.values()) != workers:
            self._note(f"scales to {workers} worker{'' if workers == 1 else 's'}")
        self._cluster.scale(workers)

    @contextmanager
    def partition(self, service: str, *, silent: bool = True) -> Iterator[None]:
        how = "cuts" if silent else "resets the connections of"
        end = " off from the broker" if silent else " to the broker"
        self._note(f"{how} {service}{end}", service)
        with self._cluster.partition(service, silent=silent):
            yield
            self._note("heals the connection", service)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        self._note("fills the disk")
        with self._cluster.full_disk():
            yield
            self._note("makes room on the disk")

    def sleep(self, seconds: float) -> None:
        self._note(f"stops every process for {seconds:g} s")
        self._cluster.sleep(seconds)
        self._note("lets every process go on")

    def jump_clock(self, seconds: float) -> None:
        self._note(f"moves the clock by {seconds:g} s")
        self._cluster.jump_clock(seconds)

    def celery_control(self, command: str, worker: str, **arguments: Any) -> None:
        self._note(f"sends {command} to {worker}", worker)
        self._cluster.celery_control(command, worker, **arguments)

    def age_queued_tasks(self, seconds: float) -> int:
        self._note(f"makes waiting tasks {seconds:g} s older")
        return self._cluster.age_queued_tasks(seconds)

    def kill_everything(self, spare: Iterable[int] = ()) -> int:
        self._note("sends SIGKILL to every process")
        return self._cluster.kill_everything(spare)

    def bring_up(self) -> None:
        self._note("starts the stack again")
        self._cluster.bring_up()
