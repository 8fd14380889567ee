"""Plays one scenario: recorded if it is wanted, with what it found also where it is interrupted."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from rich.status import Status
from rich.text import Text

from windtunnel.drill.cluster import Checks
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.recorder import Recorder
from windtunnel.drill.scenarios.catalogue import Outcome, Scenario, play
from windtunnel.drill.steps import log


class Interrupted(BaseException):
    """A scenario did not come to its end; `outcome` has what it found until then."""

    def __init__(self, outcome: Outcome, cause: BaseException) -> None:
        super().__init__()
        self.outcome, self.cause = outcome, cause


def played(
    scenario: Scenario, cluster: LocalCluster, options: dict[str, Any], record: bool
) -> Outcome:
    """Play a scenario, recorded if `record`. Raises `Interrupted`, which has what was found."""
    checks, began = Checks(), time.monotonic()
    recorder = Recorder(cluster) if record else None
    try:
        if recorder is None:
            return play(scenario, cluster, checks, **options)
        with recorder:
            outcome = play(scenario, recorder.watched, checks, **options)
        return replace(outcome, recording=recorder.recording)
    except BaseException as cause:
        raise Interrupted(
            Outcome(
                scenario,
                checks.made,
                time.monotonic() - began,
                recording=recorder.recording if recorder else None,
                interrupted=True,
            ),
            cause,
        ) from None


class Progress(logging.Handler):
    """Shows what a scenario waits for in the line that spins, while the block lasts."""

    def __init__(self, status: Status, shown: str) -> None:
        super().__init__()
        self.status, self.name_shown, self.began = status, shown, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self.status.update(
            Text(
                f"{self.name_shown} ({time.monotonic() - self.began:.0f} s): {record.getMessage()}",
            )
        )

    def __enter__(self) -> None:
        log.setLevel(logging.INFO)
        log.addHandler(self)
        log.propagate = False

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
