"""All workers are restarted one by one and scaled, under a constant load."""

from __future__ import annotations

import time
from functools import partial

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.load import Load, settle
from windtunnel.drill.steps import log, ready, wait_until


def rolling_restart_and_scaling(cluster: LocalStack, checks: Checks, minutes: float = 1.0) -> None:
    """Restart each worker in turn, then scale 1, 4, 1, repeatedly. Nothing is retried."""
    end = time.monotonic() + 60 * minutes
    restarts = scales = 0
    with Load(cluster) as load:
        while time.monotonic() < end:
            ready(cluster, 2)
            for worker in ("worker-0", "worker-1"):
                log.info("restarting %s", worker)
                cluster.stop(worker)
                cluster.start(worker)
                wait_until(
                    f"{worker} to serve again",
                    partial(cluster.up, worker),
                    120,
                )
                restarts += 1
            for count in (4, 1):
                log.info("scaling to %d", count)
                ready(cluster, count)
                scales += 1
    checks.add(
        "workers were restarted and scaled under load",
        restarts > 0 and scales > 1,
        f"{restarts} restarts, {scales} scalings",
    )
    settle(checks, cluster, load, retries_allowed=False)
