"""Requests pass by the middlewares that have nothing to do for them, and by no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jwt
import pytest
import structlog
import svcs
from cadwyn._internal.context_vars import DEFAULT_API_VERSION_VAR
from cadwyn.middleware import HeaderVersionManager, VersionPickingMiddleware
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from windtunnel.patches import catalogue, middleware

KEY = "k" * 64
VERSION: ContextVar[str | None] = ContextVar("version", default=None)


class Validator:
    """Stands in for Airflow's: only its own key is good."""

    async def avalidated_claims(self, token: str, required: Any) -> dict[str, Any]:
        return dict(jwt.decode(token, KEY, algorithms=["HS512"]))


class Generator:
    def generate(self, claims: Any) -> str:
        return f"renewed for {claims['sub']}"


async def answer(request: Request) -> JSONResponse:
    seen = {
        "bound": structlog.contextvars.get_contextvars(),
        "version": VERSION.get(None),
        "default": DEFAULT_API_VERSION_VAR.get(None),
    }
    return JSONResponse(seen, headers={"correlation-id": "of the route"})


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The middlewares that were not passed by."""
    seen: list[str] = []
    through = BaseHTTPMiddleware.__call__

    async def counted(self: Any, scope: Any, receive: Any, send: Any) -> None:
        seen.append(type(self).__name__)
        await through(self, scope, receive, send)

    monkeypatch.setattr(BaseHTTPMiddleware, "__call__", counted)
    yield seen
    for kind in (*middlewares(), VersionPickingMiddleware):
        if "__call__" in vars(kind):
            del kind.__call__


def middlewares() -> list[Any]:
    from airflow.api_fastapi.auth.middlewares.refresh_token import JWTRefreshMiddleware
    from airflow.api_fastapi.execution_api.app import CorrelationIdMiddleware, JWTReissueMiddleware

    return [CorrelationIdMiddleware, JWTReissueMiddleware, JWTRefreshMiddleware]


class AccessLog:
    """Stands further out, as Airflow's does, and writes down what is bound when the request has ended."""

    bound: dict[str, Any] | None = None

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        AccessLog.bound = structlog.contextvars.get_contextvars()


def client(default: Any = "2025-01-01") -> TestClient:
    from airflow.api_fastapi.auth.tokens import JWTGenerator, JWTValidator

    app = Starlette(routes=[Route("/", answer)])
    app.state.svcs_registry = svcs.Registry()
    app.state.svcs_registry.register_value(JWTValidator, Validator())
    app.state.svcs_registry.register_value(JWTGenerator, Generator())
    app.add_middleware(
        VersionPickingMiddleware,
        api_version_parameter_name="api-version",
        api_version_default_value=default,
        api_version_var=VERSION,
        api_version_manager=HeaderVersionManager(api_version_parameter_name="api-version"),
    )
    for kind in middlewares():
        app.add_middleware(kind)
    app.add_middleware(AccessLog)
    return TestClient(app)


def token(*, age: int, life: int = 600, key: str = KEY, **more: Any) -> dict[str, str]:
    now = int(time.time())
    return {
        "Authorization": "Bearer "
        + jwt.encode(
            {"sub": "task", "iat": now - age, "exp": now - age + life, **more},
            key,
            algorithm="HS512",
        )
    }


#: Made when they are sent: a token ages from the moment it is made.
REQUESTS: dict[str, tuple[Callable[[], dict[str, str]], list[str]]] = {
    "nothing": (lambda: {}, []),
    "a fresh token": (lambda: token(age=10), []),
    "a token of a queued task": (lambda: token(age=590, scope="workload"), []),
    "a token at the end of its life": (lambda: token(age=580), ["JWTReissueMiddleware"]),
    "a token of another key": (lambda: token(age=580, key="x" * 64), ["JWTReissueMiddleware"]),
    "a token that is none": (
        lambda: {"Authorization": "Bearer nonsense"},
        ["JWTReissueMiddleware"],
    ),
    "another scheme": (lambda: {"Authorization": "Basic YWRtaW46eA=="}, []),
    "a correlation": (lambda: {"correlation-id": "abc-1"}, []),
    "a version": (lambda: {"api-version": "2026-06-01"}, []),
    "another cookie": (lambda: {"Cookie": "theme=dark"}, []),
    "a session": (lambda: {"Cookie": "_token=nonsense"}, ["JWTRefreshMiddleware"]),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_answer_is_upstreams_and_only_what_has_work_is_passed(
    name: str, passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.auth.middlewares.refresh_token import JWTRefreshMiddleware

    async def nobody(token: str) -> tuple[None, None]:
        return None, None

    monkeypatch.setattr(JWTRefreshMiddleware, "_refresh_user", staticmethod(nobody))
    make, expected = REQUESTS[name]
    headers = make()
    stock = client().get("/", headers=headers)
    logged = AccessLog.bound
    assert len(passed) == 4, (
        "a middleware is no BaseHTTPMiddleware any more: look again at the patch"
    )
    passed.clear()
    assert catalogue.middlewares_step_aside()
    ours = client().get("/", headers=headers)
    assert passed == expected
    assert (ours.status_code, ours.json(), dict(ours.headers)) == (
        stock.status_code,
        stock.json(),
        dict(stock.headers),
    )
    assert AccessLog.bound == logged == {}
    assert structlog.contextvars.get_contextvars() == {}
    if name == "a token at the end of its life":
        assert ours.headers["Refreshed-API-Token"] == "renewed for task"
    if name == "a correlation":
        assert ours.headers["correlation-id"] == "abc-1" and ours.json()["bound"] == {
            "correlation_id": "abc-1"
        }


def test_a_version_that_has_to_be_asked_for_is_picked_as_ever(passed: list[str]) -> None:
    async def newest(request: Request) -> str:
        return "2030-01-01"

    assert catalogue.middlewares_step_aside()
    answered = client(newest).get("/")
    assert (
        passed == ["VersionPickingMiddleware"]
        and answered.headers["api-version"] == answered.json()["version"] == "2030-01-01"
    )


def test_a_token_is_looked_at_by_airflow_a_moment_before_it_is_due() -> None:
    assert [
        middleware.refresh_is_near([(b"authorization", token(age=age)["Authorization"].encode())])
        for age in (470, 490)
    ] == [
        False,
        True,
    ]


def test_other_middlewares_are_left_alone(
    passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert catalogue.middlewares_step_aside()
    assert not catalogue.middlewares_step_aside(), "what has a way of its own is not touched"
