"""What happened while a scenario played: the facts of its picture, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from windtunnel.drill.cluster import Mark

#: A task at work marks each second. One whose last mark is older than this has ended.
SILENT = 2.5


@dataclass(frozen=True)
class Act:
    """Something that the drill did. Times in Unix seconds, also below."""

    time: float
    what: str
    component: str = ""


@dataclass
class Span:
    """A time in which a component was `up`, `starting` or `away`."""

    component: str
    state: str
    began: float
    ended: float


@dataclass(frozen=True)
class Line:
    """A line that a component logged, read at about that time."""

    time: float
    component: str
    text: str


@dataclass
class Try:
    """One try of a task.

    `began` and `ended` are those of its process where it marked them, else what Airflow records.
    `worker` is empty where no process of it was seen. `fate` is that of the process: `ended`, `cut`
    or `running`; empty without one. `state` is what Airflow records of this try.
    """

    dag_id: str
    run_id: str
    task: str
    number: int
    worker: str = ""
    began: float | None = None
    ended: float | None = None
    fate: str = ""
    state: str = ""

    @property
    def name(self) -> tuple[str, str, str, int]:
        return self.dag_id, self.run_id, self.task, self.number


@dataclass
class Recording:
    """`runs` has the moment at which each run was triggered, by DAG id and run id."""

    began: float
    ended: float = 0.0
    acts: list[Act] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    lines_left_out: int = 0
    runs: dict[tuple[str, str], float] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    #: What could not be had, and why.
    notes: list[str] = field(default_factory=list)

    def saw(self, states: dict[str, str], now: float) -> None:
        """Note each component's present state."""
        for component, state in states.items():
            last = next((s for s in reversed(self.spans) if s.component == component), None)
            if last is not None:
                last.ended = now
            if last is None or last.state != state:
                self.spans.append(Span(component, state, now, now))

    def copies(self, marks: Iterable[Mark]) -> list[Try]:
        """The processes of this recording's runs, from their side effects."""
        found: dict[tuple[object, ...], Try] = {}
        for mark in marks:
            if (mark.dag_id, mark.run_id) not in self.runs or mark.event == "helper":
                continue
            copy = found.setdefault(
                (mark.task, mark.attempt, mark.pid, mark.start, mark.worker),
                Try(
                    mark.dag_id,
                    mark.run_id,
                    label(mark.task_id, mark.map_index),
                    mark.attempt,
                    mark.worker,
                    mark.time,
                ),
            )
            copy.ended = mark.time
            if mark.event == "end":
                copy.fate = "ended"
        for copy in found.values():
            alive = self.ended - (copy.ended or 0.0) < SILENT
            copy.fate = copy.fate or ("running" if alive else "cut")
        return list(found.values())


def label(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
