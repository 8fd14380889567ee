"""Patches of what every request to the API server passes through, three of them for each task."""

from __future__ import annotations

import inspect
import time
from typing import Any

from windtunnel.patches.base import Unfit
from windtunnel.patches.registry import Replacements, patch

#: Each gets a `__call__` of its own.
REFRESH = "airflow.api_fastapi.auth.middlewares.refresh_token:JWTRefreshMiddleware.__call__"
REISSUE = "airflow.api_fastapi.execution_api.app:JWTReissueMiddleware.__call__"
CORRELATION = "airflow.api_fastapi.execution_api.app:CorrelationIdMiddleware.__call__"
VERSION = "cadwyn.middleware:VersionPickingMiddleware.__call__"


@patch("speed", REFRESH, REISSUE, CORRELATION, VERSION, tested="apache-airflow 3.3, cadwyn 7", components=("api-server",))
def middlewares_step_aside() -> Replacements:
    """A request passes by a middleware that has nothing to do for it, and so is spared a task and two streams of its own.

    Cause: starlette's `BaseHTTPMiddleware` runs the rest of the application in another task, 0.15 ms a layer. A request to the
    task-execution API passes four. One refreshes the session in a cookie that it never has; one renews its token when a fifth of
    its life is left, and validates it a second time to see that; one echoes a header, and one the version of the API. In all more than
    half of what the smallest request with a token takes.
    Ours: the first two are passed by where there is nothing to refresh, and are upstream's
    otherwise; the others do the same as plain ASGI.
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

    kinds = (JWTRefreshMiddleware, JWTReissueMiddleware, CorrelationIdMiddleware, VersionPickingMiddleware)
    texts = {kind: inspect.getsource(kind) for kind in kinds}
    needed = {
        JWTRefreshMiddleware: ("request.cookies.get(COOKIE_NAME_JWT_TOKEN)", "if current_token is not None:"),
        JWTReissueMiddleware: ("refresh_when_less_than = max(int(token_lifetime * 0.20), 30)", 'claims.get("scope") == "workload"'),
        CorrelationIdMiddleware: ("bind_contextvars(correlation_id=correlation_id)", 'response.headers["correlation-id"]'),
        VersionPickingMiddleware: (
            "self.api_version_var.set(api_version)",
            "response.headers[self.api_version_parameter_name] = api_version",
        ),
    }
    if any("__call__" in vars(kind) or not all(part in texts[kind] for part in parts) for kind, parts in needed.items()):
        raise Unfit("the middlewares look different")
    through = BaseHTTPMiddleware.__call__
    cookie = COOKIE_NAME_JWT_TOKEN.encode()

    async def session(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not any(cookie in value for key, value in scope["headers"] if key == b"cookie"):
            await self.app(scope, receive, send)
        else:
            await through(self, scope, receive, send)

    async def token(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not refresh_is_near(scope["headers"]):
            await self.app(scope, receive, send)
        else:
            await through(self, scope, receive, send)

    async def correlation(self: Any, scope: Any, receive: Any, send: Any) -> None:
        given = next((value for key, value in scope.get("headers", ()) if key == b"correlation-id"), None)
        if scope["type"] != "http" or not given:
            await self.app(scope, receive, send)
            return
        text = given.decode("latin-1")
        # Bound no further out than in the task that upstream's next layer would have made.
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
        await self.app(scope, receive, send if picked is None else with_header(send, self.api_version_parameter_name, picked))

    def with_header(send: Any, name: str, value: str) -> Any:
        async def sender(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[name] = value
            await send(message)

        return sender

    return {REFRESH: session, REISSUE: token, CORRELATION: correlation, VERSION: version}


def refresh_is_near(headers: Any) -> bool:
    """Whether the bearer token among a request's headers may be due for a new one, by what it says of itself.

    A token that lies about its age is refused, or validated before it is renewed, by Airflow itself.
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
        # One second earlier than Airflow, whose clock is read a moment later.
        return int(claims.get("exp", 0)) - int(time.time()) <= max(int(lifetime * 0.20), 30) + 1
    except Exception:
        return True
