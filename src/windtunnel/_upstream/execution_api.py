"""The task-execution API: its newest version first, and in the DAG processor and the triggerer only when somebody asks."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from copy import copy
from typing import Any

from windtunnel._upstream.base import parameters, skip


def newest_execution_api_first() -> bool:
    """The API server answers its first task seconds earlier.

    Cause: at its first request Cadwyn makes the routes and the models of every version of the task-execution API (nine in
    3.3), 2 to 3 CPU-seconds; a worker of the same release asks for the newest only. For: cadwyn 6.1 to 7.0. Ours: the newest
    is made alone, by Cadwyn itself from a bundle of one version; the first request for another one, or for the OpenAPI
    pages, makes all of them as upstream does. Returns whether it was applied.
    """
    name = "newest_execution_api_first"
    try:
        from cadwyn import Cadwyn, Version, VersionBundle
        from cadwyn.route_generation import _DELETED_ROUTE_TAG, generate_versioned_routers
        from cadwyn.routing import _RootCadwynAPIRouter
        from fastapi import APIRouter
    except ImportError as error:
        return skip(name, str(error))
    if getattr(Cadwyn, "windtunnel", False):
        return True
    whole, route, pages = Cadwyn._cadwyn_initialize, _RootCadwynAPIRouter.__call__, Cadwyn.openapi_jsons
    wanted: list[tuple[Callable[..., Any], list[str]]] = [
        (whole, ["self"]),
        (route, ["self", "scope", "receive", "send"]),
        (pages, ["self", "req"]),
    ]
    if any(parameters(function)[:4] != names for function, names in wanted):
        return skip(name, "Cadwyn looks different")

    def newest_only(self: Any) -> None:
        newest = self.versions.versions[0]
        if len(self.versions.versions) < 2 or self.webhooks.routes or self.api_version_format != "date":
            return whole(self)
        latest = copy(self._latest_version_router)
        latest.routes = [r for r in latest.routes if _DELETED_ROUTE_TAG not in getattr(r, "tags", ())]
        one = VersionBundle(self.versions.head_version, Version(newest.value), api_version_var=self.versions.api_version_var)
        made = generate_versioned_routers(
            latest,
            versions=one,
            webhooks=copy(self.webhooks),
            api_version_parameter_name=self.api_version_parameter_name,
            api_version_location=self._api_version_location,
        )
        before = list(self.router.routes)
        self._add_versioned_routers(made.endpoints[newest.value], version=newest.value)

        def make_all() -> None:
            self.router.windtunnel_rest = None
            self.router.routes[:] = before
            for version in self.versions:
                self.router.versioned_routers[version.value] = APIRouter(**self._kwargs_to_router)
            whole(self)

        self.router.windtunnel_rest = make_all
        self.router.windtunnel_newest = newest.value
        self._cadwyn_initialized = True

    async def routed(self: Any, scope: Any, receive: Any, send: Any) -> None:
        rest = getattr(self, "windtunnel_rest", None)
        if rest and scope["type"] == "http" and self.api_version_var.get(None) not in (None, self.windtunnel_newest):
            rest()
        await route(self, scope, receive, send)

    async def all_pages(self: Any, req: Any) -> Any:
        if rest := getattr(self.router, "windtunnel_rest", None):
            rest()
        return await pages(self, req)

    Cadwyn._cadwyn_initialize = newest_only  # type: ignore[method-assign]
    Cadwyn.openapi_jsons = all_pages  # type: ignore[method-assign]
    _RootCadwynAPIRouter.__call__ = routed  # type: ignore[method-assign]
    Cadwyn.windtunnel = True  # type: ignore[attr-defined]
    return True


class WhenAsked:
    """Stands for an `InProcessExecutionAPI` until its transport gets a first request."""

    def __init__(self) -> None:
        import httpx

        class Transport(httpx.BaseTransport):
            real: httpx.BaseTransport | None = None

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                if self.real is None:
                    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

                    self.real = InProcessExecutionAPI().transport
                return self.real.handle_request(request)

            def close(self) -> None:
                if self.real is not None:
                    self.real.close()

        self.transport = Transport()


def in_process_api_when_asked(component: str) -> bool:
    """DAG processor and triggerer load the web framework only when a DAG file or a trigger asks for something.

    Cause: both make a task-execution API of their own inside the process at start, FastAPI and all; it serves DAG files that
    read a Variable or Connection while they are parsed, and triggers that do. For: apache-airflow 3.2 to 3.3. Ours: its
    transport is made at the first request. Returns whether it was applied.
    """
    name = "in_process_api_when_asked"
    module, attribute = {
        "dag-processor": ("airflow.dag_processing.manager", "_make_execution_api"),
        "triggerer": ("airflow.jobs.triggerer_job_runner", "in_process_api_server"),
    }[component]
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        return skip(name, str(error))
    if function.__code__ is _when_asked.__code__:
        return True
    if parameters(function) or function.__closure__ or "InProcessExecutionAPI()" not in inspect.getsource(function):
        return skip(name, f"{module}.{attribute} looks different")
    # The DAG processor's class holds the function itself, so its inside is what can be changed.
    function.__code__ = _when_asked.__code__
    return True


def _when_asked() -> Any:
    from windtunnel._upstream.execution_api import WhenAsked

    return WhenAsked()
