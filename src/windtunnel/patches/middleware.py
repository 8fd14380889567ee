"""Patches of the middlewares of the API server, which each of a task's three requests passes."""

from __future__ import annotations

import inspect
import time
from typing import Any

from windtunnel.patches.base import Unfit
from windtunnel.patches.registry import Replacements, patch

#: The middlewares. Each gets a `__call__` of its own.
REFRESH = "airflow.api_fastapi.auth.middlewares.refresh_token:JWTRefreshMiddleware.__call__"
REISSUE = "airflow.api_fastapi.execution_api.app:JWTReissueMiddleware.__call__"
CORRELATION = "airflow.api_fastapi.execution_api.app:CorrelationIdMiddleware.__call__"
VERSION = "cadwyn.middleware:VersionPickingMiddleware.__call__"


@patch(
    "speed",
    REFRESH,
    REISSUE,
    CORRELATION,
    VERSION,
    tested="apache-airflow 3.3, cadwyn 7",
    components=("api-server",),
)
def middlewares_step_aside() -> Replacements:
    """A request skips a middleware without work for it, which saves a task and two streams.

    Cause: starlette's `BaseHTTPMiddleware` runs the rest of the application in another task, 0.15
    ms a layer. A request to the task-execution API passes four. One refreshes the session in a
    cookie that the request never has. One renews its token when a fifth of its life is left, and
    validates it a second time to see that. One echoes a header, and one the version of the API.
    Together they take more than half of the time of the smallest request with a token. Ours: a
    request skips the first two where there is nothing to refresh; otherwise upstream's code runs.
    The others do the same as plain ASGI.
    """
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
    from airflow.api_fastapi.auth.middlewares.refresh_token import JWTRefreshMiddleware
    from airflow.api_fastapi.execution_api.app import CorrelationIdMiddleware, JWTReissueMiddleware
    from cadwyn._internal.context_vars import DEFAULT_API_VERSION_VAR
    from cadwyn.middleware import VersionPickingMiddleware
    from starlette.datastructures import MutableHeaders
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from structlog.contextvars import bound_contextvars

    needed = {
        JWTRefreshMiddleware: (
            "request.cookies.get(COOKIE_NAME_JWT_TOKEN)",
            "if current_token is not None:",
        ),
        JWTReissueMiddleware: (
            "refresh_when_less_than = max(int(token_lifetime * 0.20), 30)",
            'claims.get("scope") == "workload"',
        ),
        CorrelationIdMiddleware: (
            "bind_contextvars(correlation_id=correlation_id)",
            'response.headers["correlation-id"]',
        ),
        VersionPickingMiddleware: (
            "self.api_version_var.set(api_version)",
            "response.headers[self.api_version_parameter_name] = api_version",
        ),
    }
    for kind, parts in needed.items():
        text = inspect.getsource(kind)
        if "__call__" in vars(kind) or not all(part in text for part in parts):
            raise Unfit("the middlewares look different")
    through = BaseHTTPMiddleware.__call__
    cookie = COOKIE_NAME_JWT_TOKEN.encode()

    def has_session(headers: Any) -> bool:
        return any(cookie in value for key, value in headers if key == b"cookie")

    async def session(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not has_session(scope["headers"]):
            await self.app(scope, receive, send)
        else:
            await through(self, scope, receive, send)

    async def token(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not refresh_is_near(scope["headers"]):
            await self.app(scope, receive, send)
        else:
            await through(self, scope, receive, send)

    async def correlation(self: Any, scope: Any, receive: Any, send: Any) -> None:
        headers = scope.get("headers", ())
        given = next((value for key, value in headers if key == b"correlation-id"), None)
        if scope["type"] != "http" or not given:
            await self.app(scope, receive, send)
            return
        text = given.decode("latin-1")
        # Bound for the rest of the request, as in the task that upstream's layer makes.
        with bound_contextvars(correlation_id=text):
            await self.app(scope, receive, with_header(send, "correlation-id", text))

    async def version(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or callable(self.api_version_default_value):
            await through(self, scope, receive, send)
            return
        picked = self._api_version_manager.get(Request(scope))
        if picked is None:
            picked = self.api_version_default_value
            DEFAULT_API_VERSION_VAR.set(picked)
        self.api_version_var.set(picked)
        if picked is not None:
            send = with_header(send, self.api_version_parameter_name, picked)
        await self.app(scope, receive, send)

    def with_header(send: Any, name: str, value: str) -> Any:
        async def sender(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[name] = value
            await send(message)

        return sender

    return {REFRESH: session, REISSUE: token, CORRELATION: correlation, VERSION: version}


def refresh_is_near(headers: Any) -> bool:
    """Whether the bearer token among a request's headers may be due for renewal, by its own claims.

    Airflow itself refuses a token with false claims, or validates it before it renews it.
    """
    import jwt

    bearer = next((value for key, value in headers if key == b"authorization"), b"")
    if bearer[:7].lower() != b"bearer ":
        return False
    try:
        claims = jwt.decode(bearer[7:].decode("latin-1"), options={"verify_signature": False})
        if claims.get("scope") == "workload":
            return False
        lifetime = int(claims.get("exp", 0)) - int(claims.get("iat", 0))
        left = int(claims.get("exp", 0)) - int(time.time())
        # One second earlier than Airflow, which reads the clock a moment later.
        return left <= max(int(lifetime * 0.20), 30) + 1
    except Exception:
        return True
