"""When is a stack ready? The same questions, asked in the same way, for both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import httpx
import psycopg2

from windtunnel.clients import loopback_http
from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings

POLL_SECONDS = 0.05


def api_answers(settings: Settings) -> bool:
    """Whether the API server and its task-execution API answer.

    The first request builds the latter. Raises httpx.HTTPError.
    """
    with loopback_http.client(settings.api_url, timeout=5) as client:
        return (
            client.get("/api/v2/version").is_success
            and client.get("/execution/health/ping").is_success
        )


def until_all(checks: dict[str, Callable[[], bool]], over: Callable[[], bool]) -> list[str]:
    """Ask each until it says yes; returns the names of those that did not before `over`."""
    waiting = dict(checks)
    while waiting:
        for what, check in checks.items():
            with contextlib.suppress(WindtunnelError, psycopg2.Error, httpx.HTTPError, OSError):
                if what in waiting and check():
                    del waiting[what]
        if waiting and over():
            break
        if waiting:
            time.sleep(POLL_SECONDS)
    return list(waiting)
