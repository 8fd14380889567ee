"""NFR-1: a worker that is stopped, hung, or connected without consuming is reported and cured."""

from __future__ import annotations

import time
from collections.abc import Callable
from signal import SIGSTOP, SIGUSR2

from windtunnel.drill.cluster import Checks, LocalStack
from windtunnel.drill.steps import meanwhile, occupy, seconds_until
from windtunnel.drill.verdicts import all_succeed_once

#: Seconds. A cure waits for the tasks in hand where the process is alive.
REPORTED, CURED = 20.0, 90.0


def worker_stopped(cluster: LocalStack, checks: Checks, seconds: float = 20) -> None:
    """SIGSTOP to Celery's main process, with a task in hand."""
    cluster.scale(1)
    _rehearse(
        cluster,
        checks,
        "worker-0",
        "the worker is stopped",
        lambda worker: cluster.kill(worker, SIGSTOP),
        seconds,
    )


def worker_not_consuming(cluster: LocalStack, checks: Checks, seconds: float = 20) -> None:
    """The worker is connected and answers, but was unsubscribed from its queue."""
    cluster.scale(1)

    def unsubscribe(worker: str) -> None:
        cluster.celery_control("cancel_consumer", worker, queue="default")

    _rehearse(cluster, checks, "worker-0", "the worker consumes nothing", unsubscribe, seconds)


def worker_hung(cluster: LocalStack, checks: Checks, seconds: float = 20) -> None:
    """Celery's main loop hangs for good.

    SIGUSR2 brings up Celery's own debugger, which waits for a caller.
    Only the lab worker is started with that debugger.
    """
    with cluster.lab_worker() as lab:
        _rehearse(
            cluster,
            checks,
            lab,
            "the main loop hangs",
            lambda worker: cluster.kill(worker, SIGUSR2),
            seconds,
        )


def _rehearse(
    cluster: LocalStack,
    checks: Checks,
    worker: str,
    what: str,
    fault: Callable[[str], None],
    seconds: float,
) -> None:
    runs = occupy(cluster, worker, seconds)
    moment, began = time.time(), time.monotonic()
    fault(worker)
    in_log = meanwhile("the log to say so", lambda: cluster.incident(worker, moment), 120, began)
    in_status = meanwhile(
        "`status` to say so",
        lambda: any(worker in problem for problem in cluster.problems()),
        120,
        began,
    )
    probe_failed = meanwhile(
        "the probe to fail",
        lambda: cluster.process_state(worker) != "Ready",
        120,
        began,
    )
    cured = meanwhile(
        "the cure",
        lambda: time.monotonic() > began + 3 and probe_failed.done() and cluster.up(worker),
        180,
        began,
    )
    checks.within(f"{what}: its log says so", REPORTED, in_log.result(), 120)
    checks.within("`status` says so", REPORTED, in_status.result(), 120)
    checks.within("the probe of process-compose fails", REPORTED, probe_failed.result(), 120)
    checks.within("it is cured", CURED, cured.result(), 180)
    all_succeed_once(checks, cluster, runs, 90, "tasks in hand")
    ready = seconds_until(
        "the probe to succeed",
        lambda: cluster.process_state(worker) == "Ready",
        60,
    )
    checks.within("the probe succeeds again", 45, ready, 60)
    after = occupy(cluster, worker, 1)  # raises where it takes none
    all_succeed_once(checks, cluster, after, 60, "later tasks")
