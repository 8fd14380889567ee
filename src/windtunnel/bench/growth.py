"""`windtunnel bench --growth`: how cost grows with workers, tasks and a deep queue. Ours only.

An option of the product, not a tool of this repository. Whether one more worker helps depends on
the user's machine, and no other command measures it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from windtunnel.bench.growth_stack import Big, GrowthSizes
from windtunnel.bench.shape import Shape
from windtunnel.clients.flower import Flower
from windtunnel.drill.steps import seconds_until
from windtunnel.errors import WindtunnelError
from windtunnel.health import checks
from windtunnel.stack import scale

QUEUE = "default"
#: Flower's and the broker's answers are asked for this often; the slowest counts.
ASKED = 5


class Growth:
    """Measures on one stack that runs.

    Args:
        say: gets what is being done. report: gets each finding, as text.
    """

    def __init__(
        self,
        stack: Big,
        sizes: GrowthSizes,
        say: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        self.stack, self.sizes, self.say, self.report = stack, sizes, say, report
        self.settings = stack.settings
        self.found: dict[str, Any] = {}

    def measure(self) -> dict[str, Any]:
        """Everything, one after the other. Raises `WindtunnelError` where a part fails."""
        self.say("starting")
        self.stack.start(Shape(dags=frozenset({"bench_one"})))
        self.stack.runs.run("bench_one")
        self._by_tasks()
        self._by_workers()
        self._by_depth()
        return self.found

    def _by_tasks(self) -> None:
        """One worker, as many slots as cores: tasks a second of one run of each size."""
        rows = self.found["tasks a second by tasks in the DAG"] = {}
        for count in self.sizes.dags:
            self.say(f"a DAG of {count} tasks")
            rows[str(count)] = count / self.stack.runs.run(f"bench_{count}").seconds
            self.report(f"a DAG of {count} tasks: {rows[str(count)]:.2f} tasks a second")

    def _by_workers(self) -> None:
        """`process scale worker N`, then one run."""
        rows = self.found["tasks a second by workers"] = {}
        for count in self.sizes.workers:
            self.say(f"{count} workers")
            scale.scale(self.settings, count)
            online = partial(self._has_online, count)
            self._until(f"{count} workers are in Flower", online, 120)
            self.stack.runs.run("bench_one")
            tasks = self.sizes.tasks_by_workers
            rate = tasks / self.stack.runs.run(f"bench_{tasks}").seconds
            rows[str(count)] = rate
            noun = "worker" if count == 1 else "workers"
            self.report(f"{count} {noun}: {rate:.2f} tasks a second")
        scale.scale(self.settings, 1)

    def _has_online(self, workers: int) -> bool:
        return len(Flower(self.settings).online()) == workers

    def _by_depth(self) -> None:
        """Without a worker, tasks pile up in the queue: measure how long each part takes."""
        self.say("stopping the worker")
        client = self.stack.compose
        for worker in client.workers():
            client.stop(worker.name)
        broker = checks.broker(self.settings)
        runs = -(-self.sizes.depth // self.sizes.run_size)
        began = time.monotonic()
        for _ in range(runs):
            self.stack.runs.trigger(f"bench_{self.sizes.run_size}")
        self.say(f"{runs} runs of {self.sizes.run_size} tasks are queued by the scheduler")
        wanted = runs * self.sizes.run_size
        self._until(
            f"{wanted} messages are in the queue",
            lambda: int(broker.llen(QUEUE)) >= wanted,
            self.sizes.queueing_seconds,
        )
        queued = time.monotonic() - began
        rows: dict[str, Any] = {
            "messages": int(broker.llen(QUEUE)),
            "queued a second by the scheduler": wanted / queued,
        }
        self.report(f"{rows['messages']} messages queued in {queued:.0f} s")
        flower = Flower(self.settings, timeout=60)
        rows["seconds of a broker command"] = self._slowest(lambda: broker.llen(QUEUE))
        rows["seconds of `windtunnel status --json`"] = self._slowest(self._status)
        rows["seconds of Flower's /api/workers"] = self._slowest(flower.workers)
        rows["seconds of Flower's /api/queues/length"] = self._slowest(flower.queue_lengths)
        self.say("waiting for a sweep of the reconciler over all of it")
        self._until(
            "the reconciler swept the whole queue",
            lambda: self._swept().get("queued", 0) >= wanted,
            180,
        )
        rows["seconds of the reconciler's sweep"] = float(self._swept()["last_sweep_seconds"])
        self.found["with a deep queue"] = rows
        for name, value in rows.items():
            number = f"{value:.3g}" if isinstance(value, float) else str(value)
            self.report(f"with a deep queue, {name}: {number}")

    def _swept(self) -> dict[str, Any]:
        return dict(json.loads((self.settings.run / "reconciler" / "state.json").read_text()))

    def _status(self) -> None:
        command = ["windtunnel", "status", "--json"]
        env = {**os.environ, **self.stack.variables()}
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if not done.stdout.startswith("{"):
            raise WindtunnelError(
                f"`windtunnel status --json` printed no JSON: {done.stderr.strip()}",
            )

    def _slowest(self, call: Callable[[], object]) -> float:
        slowest = 0.0
        for _ in range(ASKED):
            began = time.monotonic()
            call()
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def _until(self, what: str, check: Callable[[], bool], timeout: float) -> None:
        if seconds_until(what, check, timeout, every=0.2) is None:
            raise WindtunnelError(f"not within {timeout:.0f} s: {what}")
