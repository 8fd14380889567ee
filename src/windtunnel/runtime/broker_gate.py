"""A circuit breaker before every publish: a broker outage fails no task and takes little time.

Celery's own publish fails after 0.6 s, and Airflow then marks the task failed. Only
`AirflowTaskTimeout` makes the executor keep the task for its next loop (celery_executor.py,
`_send_workloads`). It is a BaseException. Celery's signal dispatcher swallows `Exception` only
(celery/utils/dispatch/signal.py), so it lets this one through.

Without the breaker each waiting task would block the scheduler's loop for
`[celery] operation_timeout`. With it 100 tasks take 0.06 s together.

A publish that `operation_timeout` cut off leaves its connection in the middle of something. With
RabbitMQ the confirmation of that publish could then be taken for the one of the next. So the
connections are closed, and the broker counts as away for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from windtunnel.brokers import choice

PROBE_SECONDS = 0.25
#: The result of a probe is used this long.
CACHE_SECONDS = 1.0
#: After a publish that was cut off, no other one is tried for this long.
CUT_OFF_SECONDS = 3.0


class Gate:
    """Receiver of `before_task_publish`; raises while the broker is away.

    Args:
        probe: whether the broker answers.
        refusal: creates the exception that means "keep the task and try again".
    """

    def __init__(
        self,
        probe: Callable[[], bool],
        refusal: Callable[[str], BaseException],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.probe = probe
        self.refusal = refusal
        self.clock = clock
        self.up = False
        self.until = float("-inf")
        self.under_way = False
        self.close: Callable[[], None] | None = None

    def published(self, **_: Any) -> None:
        """Receiver of `after_task_publish`."""
        self.under_way = False

    def __call__(self, **_: Any) -> None:
        if self.under_way and self.close:
            self.close()
            self.up, self.until = False, self.clock() + CUT_OFF_SECONDS
        self.under_way = False
        if self.clock() >= self.until:
            self.up = self.probe()
            self.until = self.clock() + CACHE_SECONDS
        if not self.up:
            next_step = "the task stays queued and is sent when the broker answers"
            raise self.refusal(f"the broker does not answer: {next_step}")
        self.under_way = True


def connect(url: str, refusal: Callable[[str], BaseException]) -> None:
    """Puts a gate before every publish to this broker; idempotent. None where it is not ours."""
    from celery.signals import after_task_publish, before_task_publish

    broker = choice.of_url(url)
    if broker is None:
        return
    gate = Gate(lambda: broker.answers(url, PROBE_SECONDS), refusal)
    if broker.confirms:
        gate.close = _close_connections
        uid = "windtunnel-broker-gate-after"
        after_task_publish.connect(gate.published, weak=False, dispatch_uid=uid)
    before_task_publish.connect(gate, weak=False, dispatch_uid="windtunnel-broker-gate")


def _close_connections() -> None:
    from celery import current_app

    current_app.pool.force_close_all()
