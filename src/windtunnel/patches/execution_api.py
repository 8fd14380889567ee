"""The task-execution API: its newest version first; in DAG processor and triggerer on demand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch


@patch(
    "speed",
    "cadwyn:Cadwyn._cadwyn_initialize",
    "cadwyn:Cadwyn.openapi_jsons",
    "cadwyn.routing:_RootCadwynAPIRouter.__call__",
    tested="cadwyn 6.1 to 7.0",
    components=("api-server",),
)
def newest_execution_api_first() -> Replacements:
    """The API server answers its first task seconds earlier.

    Cause: at its first request Cadwyn makes the routes and the models of every version of the
    task-execution API. 3.3 has nine, which take 2 to 3 CPU-seconds. A worker of the same release
    asks for the newest only. Ours: Cadwyn makes the newest alone, from a bundle of one version. The
    first request for another version, or for the OpenAPI pages, makes all of them as upstream does.
    """
    from cadwyn import Cadwyn, Version, VersionBundle
    from cadwyn.route_generation import _DELETED_ROUTE_TAG, generate_versioned_routers
    from cadwyn.routing import _RootCadwynAPIRouter
    from fastapi import APIRouter

    if Cadwyn._cadwyn_initialize.__module__ == __name__:
        return {}
    whole, pages = Cadwyn._cadwyn_initialize, Cadwyn.openapi_jsons
    route = _RootCadwynAPIRouter.__call__
    wanted: list[tuple[Callable[..., Any], list[str]]] = [
        (whole, ["self"]),
        (route, ["self", "scope", "receive", "send"]),
        (pages, ["self", "req"]),
    ]
    if any(parameters(function)[:4] != names for function, names in wanted):
        raise Unfit("Cadwyn looks different")
    # Cadwyn 5 has neither.
    location = "api_version_location" in parameters(generate_versioned_routers)
    if not location or "_api_version_location" not in Cadwyn.__init__.__code__.co_names:
        raise Unfit("Cadwyn makes its routers in another way")

    def newest_only(self: Any) -> None:
        newest = self.versions.versions[0]
        several = len(self.versions.versions) > 1
        if not several or self.webhooks.routes or self.api_version_format != "date":
            return whole(self)
        latest = copy(self._latest_version_router)
        routes = latest.routes
        latest.routes = [r for r in routes if _DELETED_ROUTE_TAG not in getattr(r, "tags", ())]
        one = VersionBundle(
            self.versions.head_version,
            Version(newest.value),
            api_version_var=self.versions.api_version_var,
        )
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
                router = APIRouter(**self._kwargs_to_router)
                self.router.versioned_routers[version.value] = router
            whole(self)

        self.router.windtunnel_rest = make_all
        self.router.windtunnel_newest = newest.value
        self._cadwyn_initialized = True

    async def routed(self: Any, scope: Any, receive: Any, send: Any) -> None:
        rest = getattr(self, "windtunnel_rest", None)
        if rest and scope["type"] == "http":
            version = self.api_version_var.get(None)
            if version not in (None, self.windtunnel_newest):
                rest()
        await route(self, scope, receive, send)

    async def all_pages(self: Any, req: Any) -> Any:
        rest = getattr(self.router, "windtunnel_rest", None)
        if rest:
            rest()
        return await pages(self, req)

    return {
        "cadwyn:Cadwyn._cadwyn_initialize": newest_only,
        "cadwyn:Cadwyn.openapi_jsons": all_pages,
        "cadwyn.routing:_RootCadwynAPIRouter.__call__": routed,
    }


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


@patch(
    "speed",
    "airflow.dag_processing.manager:_make_execution_api.__code__",
    tested="apache-airflow 3.2 to 3.3",
    components=("dag-processor",),
)
def dag_processor_api_when_asked() -> Replacements:
    """The DAG processor loads the web framework only when a DAG file asks for something.

    Cause: at its start it makes a task-execution API of its own inside the process, with FastAPI.
    That serves DAG files which read a Variable or Connection while they are parsed. Ours: its
    transport is made at the first request.
    """
    from airflow.dag_processing import manager

    target = "airflow.dag_processing.manager:_make_execution_api"
    return _when_asked_instead_of(manager._make_execution_api, target)


@patch(
    "speed",
    "airflow.jobs.triggerer_job_runner:in_process_api_server.__code__",
    tested="apache-airflow 3.2 to 3.3",
    components=("triggerer",),
)
def triggerer_api_when_asked() -> Replacements:
    """The same for the triggerer, whose triggers may read a Variable or Connection."""
    from airflow.jobs import triggerer_job_runner

    target = "airflow.jobs.triggerer_job_runner:in_process_api_server"
    return _when_asked_instead_of(triggerer_job_runner.in_process_api_server, target)


def _when_asked_instead_of(function: Any, target: str) -> Replacements:
    if function.__code__ is _when_asked.__code__:
        return {}
    makes_api = "InProcessExecutionAPI()" in inspect.getsource(function)
    if parameters(function) or function.__closure__ or not makes_api:
        raise Unfit(f"{target} looks different")
    # The DAG processor's class holds the function itself, so only its code can be replaced.
    return {f"{target}.__code__": _when_asked.__code__}


def _when_asked() -> Any:
    from windtunnel.patches.execution_api import WhenAsked

    return WhenAsked()
