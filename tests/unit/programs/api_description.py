"""Writes what the API server says of itself as JSON: argument `patched` or `stock`. Needs no stack."""

import asyncio
import json
import sys

from fastapi.openapi.utils import get_openapi
from starlette.requests import Request

from windtunnel.patches import catalogue

if sys.argv[1] == "patched":
    assert catalogue.routes_are_built_when_used()
    assert catalogue.newest_execution_api_first()

from airflow.api_fastapi.app import cached_app

app = cached_app(apps="all")
execution = next(route.app for route in app.routes if getattr(route, "path", "") == "/execution")


def page(version: str) -> object:
    scope = {
        "type": "http",
        "query_string": f"version={version}".encode(),
        "headers": [],
        "path": "/openapi.json",
        "method": "GET",
    }
    return json.loads(asyncio.run(execution.openapi_jsons(Request(scope))).body)


def tables() -> dict[str, list[str]]:
    return {
        str(version): [
            f"{sorted(getattr(r, 'methods', None) or [])} {r.path} {r.name}" for r in router.routes
        ]
        for version, router in execution.router.versioned_routers.items()
    }


execution._cadwyn_initialize()
newest = str(execution.versions.versions[0].value)
described = {
    "built": sum("app" in route.__dict__ for route in app.routes),
    "newest": tables()[newest],
    "versions": sorted(tables()),
    "alone": get_openapi(
        title="", version="", routes=execution.router.versioned_routers[newest].routes
    ),
    "first": {k: len(v) for k, v in tables().items()},
    "execution": {str(v.value): page(str(v.value)) for v in execution.versions},
    "all": tables(),
    "core": app.openapi(),
    "routes": [
        f"{sorted(getattr(r, 'methods', None) or [])} {r.path} {r.name}" for r in app.routes
    ],
}
json.dump(described, sys.stdout, sort_keys=True)
