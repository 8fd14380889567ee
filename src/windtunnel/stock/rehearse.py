"""Plays a scenario on a private stack with Airflow's own settings, which is gone afterwards."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from windtunnel.bench import places
from windtunnel.bench.runner import private
from windtunnel.bench.shape import Shape
from windtunnel.clients import process_compose
from windtunnel.drill.playing import Progress, played
from windtunnel.drill.scenarios.catalogue import Outcome, Scenario
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings
from windtunnel.stock import meaning
from windtunnel.stock.cluster import StockCluster
from windtunnel.stock.stack import Drilled


class Beside:
    """Plays scenarios beside the stack of `settings`: as many workers, as many slots each.

    Each scenario has a new stack, because what the one before has broken may stay broken.

    Raises:
        WindtunnelError: a program is missing.
    """

    def __init__(self, settings: Settings) -> None:
        places.prepare_environment()
        places.require_programs()
        self.settings = settings
        self.workers = max(len(process_compose.Compose(settings).workers()), 1)

    def __call__(self, scenario: Scenario, console: Console, record: bool) -> Outcome:
        """A stack that does not come up is no error of the drill: the outcome has the reason.

        Raises `windtunnel.drill.playing.Interrupted`.
        """
        if reason := meaning.NOTHING.get(scenario.name):
            return Outcome(scenario, [], 0.0, skipped=reason)
        began = time.monotonic()
        try:
            with private(lambda folder: Drilled(folder, self.settings.dags)) as stack:
                return self._on(stack, scenario, console, record)
        except WindtunnelError as error:
            return Outcome(scenario, [], time.monotonic() - began, skipped=str(error))

    def _on(self, stack: Drilled, scenario: Scenario, console: Console, record: bool) -> Outcome:
        shown = f"{scenario.name} with Airflow's own settings"
        with console.status(f"{shown}: starting a private stack") as status:
            slots = self.settings.worker_concurrency
            stack.start(Shape(workers=self.workers, concurrency=slots))
            marks: Path = stack.settings.run / "marks.jsonl"
            marks.touch(0o600)
            cluster = StockCluster(stack, marks, slots)
            cluster.known()
            with Progress(status, shown):
                options = meaning.OPTIONS.get(scenario.name, {})
                return played(scenario, cluster, options, record)
