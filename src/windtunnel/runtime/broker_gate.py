"""A circuit breaker before every publish: a broker outage fails no task and takes little time.

Celery's own publish fails after 0.6 s, and Airflow then marks the task failed. Only
`AirflowTaskTimeout` makes the executor keep the task for its next loop (celery_executor.py,
`_send_workloads`). It is a BaseException. Celery's signal dispatcher swallows `Exception` only
(celery/utils/dispatch/signal.py), so it lets this one through.

Without the breaker each waiting task would block the scheduler's loop for
`[celery] operation_timeout`. With it 100 tasks take 0.06 s together.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

PROBE_SECONDS = 0.25
#: The result of a probe is used this long.
CACHE_SECONDS = 1.0


def keepalive() -> dict[int, int]:
    """Socket options with which the kernel notices a silent peer after 5 + 3 x 2 s (tcp(7)).

    They also work on a connection that only waits.
    """
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    options: dict[int, int] = {}
    for name, value in wanted.items():
        if hasattr(socket, name):
            options[getattr(socket, name)] = value
    return options


def broker_answers(url: str) -> bool:
    """Whether the broker takes commands: one connection, one PING.

    `-LOADING` (Valkey reads its file after a restart) counts as no. A refused or missing password
    counts as yes: Celery's own error then names the true cause.
    """
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
    from redis.retry import Retry

    try:
        with Redis.from_url(
            url,
            socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.ping()
    except (AuthenticationError, NoPermissionError):
        return True
    except (RedisError, OSError) as error:
        return "NOAUTH" in str(error)
    return True


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

    def __call__(self, **_: Any) -> None:
        if self.clock() >= self.until:
            self.up = self.probe()
            self.until = self.clock() + CACHE_SECONDS
        if not self.up:
            next_step = "the task stays queued and is sent when the broker answers"
            raise self.refusal(f"the broker does not answer: {next_step}")
