"""One round of measuring on one private stack: every chosen figure, and what it is made of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from windtunnel.bench import processes
from windtunnel.bench.figures import Sizes
from windtunnel.bench.shape import DEFAULT, FOUR_BY_FOUR, SIXTEEN, TWO, Shape
from windtunnel.bench.stack import Stack

#: Told after each figure: its name and value.
Told = Callable[[str, float], None]


@dataclass
class Round:
    """Figures of one round by name, and details by name and process."""

    figures: dict[str, float] = field(default_factory=dict)
    details: dict[str, dict[str, float]] = field(default_factory=dict)


class Worker:
    """Measures one stack.

    Args:
        wanted: names of figures. say: told what is being done. told: told each figure.
    """

    def __init__(
        self,
        stack: Stack,
        sizes: Sizes,
        wanted: set[str],
        say: Callable[[str], None],
        told: Told,
    ) -> None:
        self.stack, self.sizes, self.wanted, self.say, self.told = stack, sizes, wanted, say, told
        self.round = Round()

    def measure(self) -> Round:
        """The round, from an empty state folder. The stack is left running."""
        steps: list[tuple[Shape, set[str], Callable[[], None]]] = [
            (DEFAULT, {"first-run", "up", "down"}, self._life),
            (DEFAULT, {"idle", "memory"}, self._idle),
            (DEFAULT, {"trigger"}, self._trigger),
            (DEFAULT, {"chain"}, lambda: self._run("chain", "bench_chain")),
            (
                TWO,
                {"parallel-2"},
                lambda: self._run("parallel-2", "bench_parallel", self.sizes.parallel),
            ),
            (TWO, {"sleep"}, lambda: self._run("sleep", "bench_sleep")),
            (SIXTEEN, {"parallel-16", "cpu"}, self._sixteen),
            (FOUR_BY_FOUR, {"many"}, self._many),
        ]
        # What runs in the default shape comes first: one start less.
        for shape, names, step in sorted(
            steps,
            key=lambda row: self.stack.exact(row[0]) != self.stack.exact(DEFAULT),
        ):
            if self.wanted & names:
                if step != self._life:
                    self.say(
                        f"starting {shape.workers} x concurrency "
                        f"{shape.concurrency or self.stack.default_concurrency}",
                    )
                    self.stack.ensure(shape)
                self.say(", ".join(sorted(self.wanted & names)))
                step()
        return self.round

    def _set(self, name: str, value: float) -> None:
        if name in self.wanted:
            self.round.figures[name] = value
            self.told(name, value)

    def _life(self) -> None:
        self.stack.begin(DEFAULT)
        self._set("first-run", self.stack.first_run())
        self.stack.ready()
        if self.wanted & {"up", "down"}:
            time.sleep(2)
            self._set("down", self.stack.stop())
        if "up" in self.wanted:
            self._set("up", self.stack.start(DEFAULT))

    def _idle(self) -> None:
        self.stack.runs.read(self.stack.dags_folder, self.stack.since)
        time.sleep(self.sizes.settle)
        client = self.stack.compose
        before, began = processes.cpu(client), time.monotonic()
        time.sleep(self.sizes.idle)
        used, seconds = (
            processes.difference(before, processes.cpu(client)),
            time.monotonic() - began,
        )
        self.round.details["idle"] = {name: 100 * value / seconds for name, value in used.items()}
        self._set("idle", sum(self.round.details["idle"].values()))
        self.round.details["memory"] = processes.pss(client)
        self._set("memory", sum(self.round.details["memory"].values()))

    def _trigger(self) -> None:
        self._warm()
        delays = []
        for number in range(self.sizes.triggers):
            # Not in step with anything that wakes once a second.
            time.sleep(1.5 + 0.37 * number % 1)
            times = self.stack.runs.run("bench_one")
            delays.append(times.first_start - times.posted)
        self.round.details["trigger"] = {str(number): delay for number, delay in enumerate(delays)}
        self._set("trigger", statistics.median(delays))

    def _warm(self) -> None:
        """What is done once, by the first task after a start, belongs to the start."""
        self.stack.runs.run("bench_one")
        time.sleep(min(1.0, self.sizes.settle))

    def _run(self, name: str, dag_id: str, tasks: int = 0, runs: int = 1) -> None:
        """Seconds of one run or of several at once.

        With `tasks`: also CPU by process per task.
        """
        self._warm()
        client = self.stack.compose
        before = processes.cpu(client)
        seconds = self.stack.runs.together(dag_id, runs)
        used = processes.difference(before, processes.cpu(client))
        if tasks:
            self.round.details[f"{name} CPU-seconds a task"] = {
                key: value / tasks for key, value in used.items()
            }
        self._set(name, seconds)

    def _sixteen(self) -> None:
        self._run("parallel-16", "bench_parallel", self.sizes.parallel)
        self._set("cpu", sum(self.round.details["parallel-16 CPU-seconds a task"].values()))

    def _many(self) -> None:
        client = self.stack.compose
        # A pool process grows with its first task: what is to be seen is whether memory grows
        # with the tasks after that.
        self.stack.runs.run("bench_parallel")
        self.round.details["many memory before"] = processes.pss(client)
        self._run("many", "bench_parallel", self.sizes.many, self.sizes.many_runs)
        self.round.details["many memory after"] = processes.pss(client)
