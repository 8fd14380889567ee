"""Running tasks without a heartbeat, by a clock that counts only while heartbeats can be written.

Airflow compares `last_heartbeat_at` with the time of day. That also passes while the API server,
which writes heartbeats, is away, while the machine sleeps, and when its clock jumps. Airflow then
fails live tasks, and they run twice. Here the silence of each task is added up on the monotonic
clock, between two looks that both found everything well.
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
#: After this long a silence the task is failed or retried.
#: The silence that follows a PostgreSQL outage of 5 min is shorter.
SILENT_SECONDS = float(os.environ.get("WINDTUNNEL_SILENT_TASK_SECONDS") or 420)
#: One look counts at most this much: between two looks the reconciler itself may have been stopped.
STEP_SECONDS = 15.0
HEALTH = "/api/v2/monitor/health"
HEALTH_SECONDS = 2.0


class Silences:
    """For how long each running task has been silent.

    Args:
        limit: seconds of silence.
        well: whether heartbeats can be written at this moment; asked only where a task is silent.
        alive: ids of the task instances with a live process on this machine.
    """

    def __init__(
        self,
        limit: float,
        well: Callable[[], bool],
        alive: Callable[[], set[str]],
    ) -> None:
        self.well, self.alive = well, alive
        self.silence: Silence[str] = Silence(limit, STEP_SECONDS)

    def interrupted(self) -> None:
        """Something was away: the time until the next look counts for no task."""
        self.silence.pause()

    def look(self, now: float, running: Mapping[str, str]) -> list[str]:
        """Ids of the task instances that were silent for longer than the limit.

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
    """The URL of the API server to which tasks send their heartbeats.

    Made of `execution_api_server_url`; without it, this stack's API server.
    """
    try:
        url = urlsplit(AirflowOptions().get("core", "execution_api_server_url"))
    except (OutOfReach, OSError, ValueError, subprocess.CalledProcessError):
        return settings.api_url
    if url.scheme not in ("http", "https") or not url.netloc:
        return settings.api_url
    # A proxy may serve Airflow below a path. The health route is beside the task-execution API.
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/').removesuffix('/execution')}"


def api_server_well(url: str) -> bool:
    """Whether the API server answers and reaches its database."""
    import http.client  # seldom needed: the reconciler starts first and stays small
    import ssl
    import urllib.request

    context = None
    if url.startswith("https"):
        context = ssl._create_unverified_context()  # noqa: S323 - no secret is sent
    url += HEALTH
    try:
        opened = urllib.request.urlopen(url, timeout=HEALTH_SECONDS, context=context)  # noqa: S310
        with opened as answer:
            return bool(json.load(answer)["metadatabase"]["status"] == "healthy")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False


def alive_here(settings: Settings) -> set[str]:
    """Ids of the task instances that live on this machine."""
    return {str(entry["id"]) for _, entry in living.tasks(settings.run) if entry.get("id")}
