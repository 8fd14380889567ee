"""Client of Flower's API: which Celery workers are online, and what they have done."""

from __future__ import annotations

from typing import Any

import httpx

from windtunnel.clients import loopback_http
from windtunnel.errors import NoStackError
from windtunnel.settings import Settings


class Flower:
    """Flower of one stack. Calls raise `NoStackError` where it does not answer."""

    def __init__(self, settings: Settings, timeout: float = 10.0) -> None:
        self.settings = settings
        name, password = settings.secret("flower-basic-auth").split(":", 1)
        self._http = loopback_http.client(settings.flower_url, timeout=timeout, auth=(name, password))

    def _get(self, path: str, **params: Any) -> Any:
        try:
            answer = self._http.get(path, params=params)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NoStackError(
                f"Flower does not answer at {self.settings.flower_url} ({type(error).__name__}): see `windtunnel status`"
            ) from None

    def workers(self) -> dict[str, bool]:
        """Celery node names such as `worker-0@host`, and whether each is online."""
        return {name: bool(online) for name, online in self._get("/api/workers", status=1).items()}

    def online(self) -> set[str]:
        """Names before the @ of the workers that are online."""
        return {name.split("@")[0] for name, online in self.workers().items() if online}

    def details(self) -> dict[str, dict[str, Any]]:
        """What each worker told of itself: queues, pool, statistics. Asks the workers, so it takes up to a second."""
        return dict(self._get("/api/workers", refresh=1))

    def tasks(self, limit: int = 1000) -> dict[str, dict[str, Any]]:
        """Celery tasks by id, with `state`, `worker`, `received`, `started`, `succeeded` (Unix seconds)."""
        return dict(self._get("/api/tasks", limit=limit))

    def queue_lengths(self) -> dict[str, int]:
        """Waiting messages by queue, as Flower's broker page shows them."""
        return {row["name"]: int(row["messages"]) for row in self._get("/api/queues/length")["active_queues"]}
