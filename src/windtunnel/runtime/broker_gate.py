"""A circuit breaker before every publish: while the broker is away, handing over a task costs nothing and fails nothing.

Celery's own publish fails after 0.6 s and Airflow then marks the task failed; only `AirflowTaskTimeout` makes the executor
keep the task for its next loop (celery_executor.py, `_send_workloads`). It is a BaseException, so Celery's signal
dispatcher, which swallows `Exception` only (celery/utils/dispatch/signal.py), lets it through. Without the breaker each
waiting task would hold up the scheduler's loop for `[celery] operation_timeout`; with it 100 tasks cost 0.06 s together.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

PROBE_SECONDS = 0.25
#: An answer is believed this long.
CACHE_SECONDS = 1.0


def keepalive() -> dict[int, int]:
    """A silent peer is noticed by the kernel after 5 + 3 x 2 s, also on connections that only wait (tcp(7))."""
    wanted = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def broker_answers(url: str) -> bool:
    """Whether the broker takes commands: one connection, one PING.

    `-LOADING` (Valkey reads its file after a restart) is not ready. A refused or missing password is "up": Celery's own
    error then names the true cause.
    """
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
    from redis.retry import Retry

    try:
        with Redis.from_url(
            url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS, protocol=2, retry=Retry(NoBackoff(), 0)
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
        refusal: makes the exception that means "keep the task and try again".
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
            raise self.refusal("the broker does not answer: the task stays queued and is sent when it does")
