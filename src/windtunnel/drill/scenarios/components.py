"""Each component but broker, database and workers is killed, and returns by itself."""

from __future__ import annotations

import time

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import launch, seconds_until, wait_running
from windtunnel.drill.verdicts import all_succeed_once

COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server", "flower", "reconciler")
#: As after a database outage (row 5).
BACK = 30.0


def components_killed(
    cluster: LocalStack,
    checks: Checks,
    seconds: float = 20,
    components: tuple[str, ...] = COMPONENTS,
) -> None:
    """SIGKILL to the main process of each in turn, with a task in hand and one triggered after."""
    cluster.scale(1)
    runs = launch(cluster, "steady", 1, seconds=seconds)
    wait_running(cluster, runs)
    for name in components:
        before, moment, killed = cluster.main_pid(name), time.time(), time.monotonic()
        cluster.kill(name)

        def back(name: str = name, before: int | None = before, moment: float = moment) -> bool:
            return (
                cluster.main_pid(name) not in (None, before)
                and cluster.up(name)
                and not cluster.unhealthy(since=moment)
            )

        checks.within(
            f"{name} is back by itself",
            BACK,
            seconds_until(f"{name} to be back", back, 120, since=killed, every=0.3),
            120,
        )
        runs += launch(cluster, "steady", 1, seconds=0.2)
    all_succeed_once(checks, cluster, runs, seconds + 60)
