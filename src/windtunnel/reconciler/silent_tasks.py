"""Running tasks that nobody has heard of for long, by a clock that counts only while they could have been heard.

Airflow compares `last_heartbeat_at` with the time of day. That also passes while the API server, which writes heartbeats, is
away, while the machine sleeps, and when its clock jumps: living tasks were then failed and run twice. Here the silence of each
task is added up on the monotonic clock, between two looks that both found everything well.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from windtunnel.reconciler import living
from windtunnel.reconciler.silence import Silence
from windtunnel.runtime.airflow_options import AirflowOptions, OutOfReach
from windtunnel.settings import Settings

LOOK_SECONDS = 10.0
#: So long a silence, and the task is failed or retried. Longer than what follows an outage of PostgreSQL of 5 min.
SILENT_SECONDS = float(os.environ.get("WINDTUNNEL_SILENT_TASK_SECONDS") or 420)
#: One look counts at most this much: between two looks the reconciler itself may have been stopped.
STEP_SECONDS = 15.0
HEALTH = "/api/v2/monitor/health"
HEALTH_SECONDS = 2.0


class Silences:
    """What is known of each running task.

    Args:
        limit: seconds of silence.
        well: whether heartbeats can be written at this moment; asked only where somebody is silent.
        alive: ids of the task instances whose process is known to live on this machine.
    """

    def __init__(self, limit: float, well: Callable[[], bool], alive: Callable[[], set[str]]) -> None:
        self.well, self.alive = well, alive
        self.silence: Silence[str] = Silence(limit, STEP_SECONDS)

    def interrupted(self) -> None:
        """Something was away: the time until the next look counts for nobody."""
        self.silence.pause()

    def look(self, now: float, running: Mapping[str, str]) -> list[str]:
        """Ids of those that were silent for longer than the limit.

        Args:
            now: monotonic seconds.
            running: last heartbeat, as text, by the task instance's id.
        """
        if self.silence.unchanged(running) and not self.well():
            self.interrupted()
            return []
        late = self.silence.look(running, now)
        return sorted(late - self.alive()) if late else []


def api_server(settings: Settings) -> str:
    """Where tasks send their heartbeats: `execution_api_server_url`, or this stack's API server."""
    try:
        url = urlsplit(AirflowOptions().get("core", "execution_api_server_url"))
    except (OutOfReach, OSError, ValueError, subprocess.CalledProcessError):
        return settings.api_url
    if url.scheme not in ("http", "https") or not url.netloc:
        return settings.api_url
    # A proxy may serve Airflow below a path: the health route lies beside the task-execution API.
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/').removesuffix('/execution')}"


def api_server_well(url: str) -> bool:
    """Whether the API server answers and reaches its database."""
    import http.client  # seldom needed: the reconciler starts first of all and stays small
    import ssl
    import urllib.request

    trusting = ssl._create_unverified_context() if url.startswith("https") else None  # noqa: S323 - no secret is sent
    try:
        with urllib.request.urlopen(url + HEALTH, timeout=HEALTH_SECONDS, context=trusting) as answer:  # noqa: S310
            return bool(json.load(answer)["metadatabase"]["status"] == "healthy")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False


def alive_here(settings: Settings) -> set[str]:
    """Ids of the task instances that live on this machine."""
    return {str(entry["id"]) for _, entry in living.tasks(settings.run) if entry.get("id")}
