"""FastAPI's routes of Airflow's API server, built at their first use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from windtunnel.patches.base import Unfit, parameters
from windtunnel.patches.registry import Replacements, patch

#: `APIRouter.include_router` reads these attributes of a route to make the next one of it.
#: FastAPI's constructor changes the first four and keeps the others as given.
CHANGED = ("path", "endpoint", "methods", "name")
GIVEN = (
    *CHANGED,
    "response_model",
    "status_code",
    "tags",
    "dependencies",
    "summary",
    "description",
    "response_description",
    "responses",
    "deprecated",
    "operation_id",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_model_exclude_unset",
    "response_model_exclude_defaults",
    "response_model_exclude_none",
    "include_in_schema",
    "response_class",
    "dependency_overrides_provider",
    "callbacks",
    "openapi_extra",
    "generate_unique_id_function",
    "strict_content_type",
)


def _streams(endpoint: Callable[..., Any]) -> bool:
    """Whether the endpoint is a generator.

    FastAPI loses the type that a generator yields when its router is included, so only FastAPI's
    own constructor makes such a route.
    """
    returned = str(getattr(endpoint, "__annotations__", {}).get("return", ""))
    return "Itera" in returned or "Generator" in returned


@patch(
    "speed",
    "airflow.api_fastapi.common.router:AirflowRouter.add_api_route",
    tested="fastapi 0.129 to 0.136",
    components=("api-server",),
)
def routes_are_built_when_used() -> Replacements:
    """The API server starts in a third of the processor time.

    Cause: each of Airflow's routers is included in another one up to three times. Every time
    FastAPI makes each route anew: it reads signatures, and builds a validator for each parameter
    and each response. 1,300 routes are built, 300 are kept. (FastAPI 0.137 includes lazily by
    itself; Airflow 3.3 needs an older one.) Ours: a route class that keeps its arguments. It
    becomes a full route, by FastAPI's own constructor, at its first request or for the OpenAPI
    page. Only routers of Airflow's own class, and only endpoints of Airflow's.
    """
    from airflow.api_fastapi.common.router import AirflowRouter
    from fastapi.routing import APIRoute, APIRouter
    from starlette.routing import compile_path, get_name

    if AirflowRouter.add_api_route.__module__ == __name__:
        return {}
    has_own = "add_api_route" in AirflowRouter.__dict__
    if set(parameters(APIRoute.__init__)) != {"self", *GIVEN} or has_own:
        raise Unfit("FastAPI's routes look different")
    signature = inspect.signature(APIRoute.__init__).parameters
    defaults = {name: signature[name].default for name in GIVEN[2:]}

    class Route(APIRoute):
        """Acts as the full route; becomes one when another attribute is read."""

        def __init__(self, path: str, endpoint: Any, **kwargs: Any) -> None:
            self.__dict__["windtunnel_given"] = (path, endpoint, kwargs)
            self.__dict__.update(defaults | kwargs)
            # As FastAPI's constructor leaves them.
            self.path, self.endpoint = path, endpoint
            self.name = get_name(endpoint) if kwargs.get("name") is None else kwargs["name"]
            self.methods = {method.upper() for method in kwargs.get("methods") or ["GET"]}
            self.tags, self.responses = self.tags or [], self.responses or {}
            self.dependencies = list(self.dependencies or [])
            self.path_regex, self.path_format, self.param_convertors = compile_path(path)

        def __getattr__(self, attribute: str) -> Any:
            lazy = self.__dict__.get("windtunnel_given")
            if lazy is None or attribute.startswith("__"):
                raise AttributeError(attribute)
            path, endpoint, kwargs = lazy
            self.__dict__["windtunnel_given"] = None
            try:
                APIRoute.__init__(self, path, endpoint, **kwargs)
            except BaseException:
                self.__dict__["windtunnel_given"] = lazy
                raise
            return getattr(self, attribute)

    def add_api_route(self: Any, path: str, endpoint: Any, **kwargs: Any) -> None:
        cls = kwargs.get("route_class_override") or self.route_class
        module = str(getattr(endpoint, "__module__", ""))
        if cls is APIRoute and module.startswith("airflow.") and not _streams(endpoint):
            kwargs["route_class_override"] = Route
        APIRouter.add_api_route(self, path, endpoint, **kwargs)

    return {"airflow.api_fastapi.common.router:AirflowRouter.add_api_route": add_api_route}
