"""Client of Flower's API: the Celery workers, whether they are online, and their tasks."""

from __future__ import annotations

from typing import Any

import httpx

from windtunnel.clients import loopback_http
from windtunnel.errors import NoStackError
from windtunnel.settings import Settings


class Flower:
    """Flower of one stack. Calls raise `NoStackError` when it does not answer."""

    def __init__(self, settings: Settings, timeout: float = 10.0) -> None:
        self.settings = settings
        name, password = settings.secret("flower-basic-auth").split(":", 1)
        self._http = loopback_http.client(
            settings.flower_url,
            timeout=timeout,
            auth=(name, password),
        )

    def _get(self, path: str, **params: Any) -> Any:
        try:
            answer = self._http.get(path, params=params)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            where = f"{self.settings.flower_url} ({type(error).__name__})"
            message = f"Flower does not answer at {where}: see `windtunnel status`"
            raise NoStackError(message) from None

    def workers(self) -> dict[str, bool]:
        """Celery node names such as `worker-0@host`, and whether each is online."""
        rows = self._get("/api/workers", status=1)
        return {name: bool(online) for name, online in rows.items()}

    def online(self) -> set[str]:
        """Names before the @ of the workers that are online."""
        return {name.split("@")[0] for name, online in self.workers().items() if online}

    def details(self) -> dict[str, dict[str, Any]]:
        """Queues, pool and statistics of each worker.

        Flower asks the workers, so this takes up to a second.
        """
        return dict(self._get("/api/workers", refresh=1))

    def tasks(self, limit: int = 1000) -> dict[str, dict[str, Any]]:
        """Celery tasks by id, with `state` and `worker`.

        `received`, `started` and `succeeded` are in seconds since the epoch.
        """
        return dict(self._get("/api/tasks", limit=limit))

    def queue_lengths(self) -> dict[str, int]:
        """Waiting messages by queue, as Flower's broker page shows them."""
        rows = self._get("/api/queues/length")["active_queues"]
        return {row["name"]: int(row["messages"]) for row in rows}
