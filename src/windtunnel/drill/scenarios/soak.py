"""Random faults under load. A seed decides them, so that a run can be repeated."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from signal import SIGKILL, SIGSTOP

from windtunnel.drill.cluster import Away, Checks, LocalStack
from windtunnel.drill.load import Load, settle
from windtunnel.drill.steps import log, seconds_until
from windtunnel.errors import WindtunnelError

Fault = Callable[[LocalStack, random.Random], None]


def _kill(service: str) -> Fault:
    return lambda cluster, rng: cluster.kill(service)


def _kill_the_broker(cluster: LocalStack, rng: random.Random) -> None:
    cluster.kill(cluster.broker)


def _pause_the_broker(cluster: LocalStack, rng: random.Random) -> None:
    _pause(cluster.broker, (2, 12))(cluster, rng)


def _pause(service: str, seconds: tuple[float, float]) -> Fault:
    def fault(cluster: LocalStack, rng: random.Random) -> None:
        length = rng.uniform(*seconds)
        cluster.stop(service)
        time.sleep(length)
        cluster.start(service)

    return fault


def _on_a_worker(part: str = "", signal: int = SIGKILL) -> Fault:
    def fault(cluster: LocalStack, rng: random.Random) -> None:
        # By number and not by who is there: the same seed means the same worker.
        cluster.kill(f"worker-{rng.randrange(2)}{part}", signal)

    return fault


def _kill_a_task(cluster: LocalStack, rng: random.Random) -> None:
    ended = {(mark.task, mark.attempt) for mark in cluster.marks() if mark.event == "end"}
    running = [
        m for m in cluster.marks() if m.event == "start" and (m.task, m.attempt) not in ended
    ]
    alive = cluster.alive(running)
    if living := sorted((m for m in running if m.pid in alive), key=lambda m: m.pid):
        cluster.kill_process(rng.choice(living))


def _fill_the_disk(cluster: LocalStack, rng: random.Random) -> None:
    length = rng.uniform(5, 25)
    with cluster.full_disk():
        time.sleep(length)


def _jump(cluster: LocalStack, rng: random.Random) -> None:
    cluster.jump_clock(rng.uniform(30, 600))


def _sleep(cluster: LocalStack, rng: random.Random) -> None:
    cluster.sleep(rng.uniform(5, 40))


#: Every fault of the table that leaves process-compose alive.
FAULTS: dict[str, Fault] = {
    "broker killed": _kill_the_broker,
    "broker away": _pause_the_broker,
    "worker killed": _on_a_worker(),
    "worker's supervisor killed": _on_a_worker("/supervisor"),
    "worker stopped": _on_a_worker("", SIGSTOP),
    "task killed": _kill_a_task,
    "database killed": _kill("postgres"),
    "database away": _pause("postgres", (2, 15)),
    "scheduler killed": _kill("scheduler"),
    "API server killed": _kill("api-server"),
    "triggerer killed": _kill("triggerer"),
    "reconciler killed": _kill("reconciler"),
    "Flower killed": _kill("flower"),
    # Where the state folder has no small file system of its own, or the stack no clock of its
    # own, there is no victim.
    "disk full": _fill_the_disk,
    "clock jump": _jump,
    "machine asleep": _sleep,
}


def soak(
    cluster: LocalStack,
    checks: Checks,
    minutes: float = 2.0,
    seed: int = 1,
    apart: tuple[float, float] = (5, 20),
    every: float = 8,
    real: float = 15,
    megabytes: float = 5,
) -> None:
    """Faults one after the other on two workers under a constant load.

    Args:
        apart: seconds between two faults, at least and at most.
        every: seconds between two runs of ten tasks.
        real, megabytes: one task in ten takes `real` seconds or up to half as long again, and
            forks or prints so much.
    """
    rng = random.Random(seed)  # noqa: S311
    done: Counter[str] = Counter()
    cluster.scale(2)
    end = time.monotonic() + 60 * minutes
    with Load(cluster, every=every, tasks=9, real=real, megabytes=megabytes) as load:
        while time.monotonic() < end:
            time.sleep(rng.uniform(*apart))
            name = rng.choice(sorted(FAULTS))
            log.info("fault %d (seed %d): %s", sum(done.values()) + 1, seed, name)
            try:
                FAULTS[name](cluster, rng)
                done[name] += 1
            except (Away, OSError, WindtunnelError) as error:
                # The victim is still down from the fault before; the next one is drawn all the
                # same.
                log.info("no victim for %s: %s", name, error)
        last = time.time()
        calm = seconds_until(
            "every component to be back",
            lambda: not cluster.unhealthy(since=last),
            120,
            every=0.5,
        )
    checks.add(
        f"faults were made (seed {seed})",
        bool(done),
        ", ".join(f"{count} {name}" for name, count in sorted(done.items())),
    )
    checks.within("every component is back by itself", 60, calm, 120)
    settle(checks, cluster, load, retries_allowed=True, patience=420 + 4 * real)
