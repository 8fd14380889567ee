"""A patch of the tasks' client of the API server: for how long it sends a request again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch

log = logging.getLogger(__name__)

#: The request fails after this many definite answers, over at least this many seconds, while
#: API server and database are well.
ANSWERS = 5
SECONDS = 20.0
HEALTH = "/api/v2/monitor/health"
HEALTH_SECONDS = 5.0
#: A proxy answers with these while the API server is away.
AWAY = (502, 503, 504)
#: These record a task's start, end or heartbeat, so they are never given up. The health route only
#: reads: it looks well although the database has no room.
NEVER_REFUSED = ("/run", "/state", "/heartbeat")


def api_is_well(base_url: str) -> bool | None:
    """Whether the API server says that it reaches its database; None without a usable answer.

    Args:
        base_url: of the task-execution API; the health route is asked on the same host and port.
    """
    import httpx

    try:
        url = str(httpx.URL(base_url).join(HEALTH))
        # Unverified, since no secret is sent.
        answer = httpx.get(url, timeout=HEALTH_SECONDS, verify=False)  # noqa: S501
        return bool(answer.json()["metadatabase"]["status"] == "healthy")
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def refused(
    retry_state: Any,
    well: Callable[[str], bool | None] = api_is_well,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Whether a request is hopeless: tenacity asks this after each attempt that may be repeated.

    The count begins anew while API server or database is away: the outage may have caused the
    answers just before.
    """
    import httpx

    if str(retry_state.args[-1]).endswith(NEVER_REFUSED):
        return False

    error = retry_state.outcome.exception()
    if isinstance(error, httpx.HTTPStatusError):
        answered = error.response.status_code not in AWAY
    else:
        answered = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout)
    healthy = well(str(retry_state.args[0].base_url)) if answered else False
    since, count = getattr(retry_state, "windtunnel", (clock(), 0))
    if healthy is False:
        retry_state.windtunnel = (clock(), 0)
        return False
    count += healthy is True
    retry_state.windtunnel = (clock() if count == 0 else since, count)
    if count < ANSWERS or clock() - since < SECONDS:
        return False
    text = "the API server is well and did not accept this request %d times: giving up: %s"
    log.error(text, count, error)
    return True


STOP = "airflow.sdk.api.client:Client.request.retry.stop"


@patch(
    "fault",
    STOP,
    tested="apache-airflow-task-sdk 1.0 to 1.3.2",
    components=("worker",),
    late=("worker",),
)
def refused_requests_end_soon() -> Replacements:
    """A request that the API server refuses fails within a minute.

    A request that finds the API server away is still sent again for about 25 minutes.

    Cause: `Client.request` counts attempts only, so a permanent 500 is repeated as long as an
    outage. The task then hangs, without heartbeats, until its attempts are used up. Ours: one more
    condition to stop, which looks at the errors and asks the health route.
    """
    from airflow.sdk.api.client import Client

    stock = Client.request.retry.stop
    if getattr(stock, "windtunnel", False):
        return {}
    if parameters(Client.request)[:1] != ["self"] or not callable(stock):
        raise Unfit("Client.request looks different")

    def stop(retry_state: Any) -> bool:
        return bool(stock(retry_state)) or refused(retry_state)

    stop.windtunnel = True  # type: ignore[attr-defined]
    return {STOP: stop}
