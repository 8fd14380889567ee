"""Patches that make Airflow start sooner: the same API comes out of them, and they step back when they must."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from windtunnel.patches import catalogue

PROGRAM = Path(__file__).parents[1] / "programs" / "api_description.py"


def _described(mode: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), mode],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_patched_api_server_offers_what_the_stock_one_offers() -> None:
    patched, stock = _described("patched"), _described("stock")
    assert patched["built"] < 30 < 150 < stock["built"], (
        "routes are made at their first use, and only then"
    )
    newest = max(stock["versions"])
    assert patched["first"] == {
        version: stock["first"][newest] if version == newest else 0 for version in stock["versions"]
    }
    for part in ("core", "routes", "alone", "newest", "all", "versions", "execution"):
        assert patched[part] == stock[part], part


def test_upstream_still_makes_every_route_at_every_inclusion() -> None:
    from fastapi.routing import APIRouter

    assert "self.add_api_route(" in inspect.getsource(APIRouter.include_router), (
        "FastAPI includes lazily: remove the patch"
    )


def test_upstream_still_makes_every_version_at_once() -> None:
    from cadwyn.route_generation import _EndpointTransformer

    text = inspect.getsource(_EndpointTransformer.transform)
    assert "for version in self.versions:" in text, (
        "Cadwyn makes versions one by one now: look again at the patch"
    )


def test_the_route_patch_steps_back_from_an_unknown_fastapi(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fastapi.routing import APIRoute

    monkeypatch.setattr(APIRoute, "__init__", lambda self, path, endpoint, novelty: None)
    assert not catalogue.routes_are_built_when_used()


def test_the_version_patch_steps_back_from_an_unknown_cadwyn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cadwyn import Cadwyn

    monkeypatch.setattr(Cadwyn, "_cadwyn_initialize", lambda self, novelty: None)
    assert not catalogue.newest_execution_api_first()


PROCESSES = {
    "dag_processor_api_when_asked": ("airflow.dag_processing.manager", "_make_execution_api"),
    "triggerer_api_when_asked": ("airflow.jobs.triggerer_job_runner", "in_process_api_server"),
}
#: Prints whether the web framework is loaded, makes one request as a DAG file would, and prints it again.
ASKS = """
import importlib, sys, httpx
from windtunnel.patches import catalogue
if sys.argv[1] == "patched":
    assert getattr(catalogue, sys.argv[2])()
api = getattr(importlib.import_module(sys.argv[3]), sys.argv[4])()
transport = api.transport
before = "cadwyn" in sys.modules
client = httpx.Client(transport=transport, base_url="http://in-process.invalid./")
print(before, client.get("/health/ping").status_code, "cadwyn" in sys.modules)
"""


@pytest.mark.parametrize("patch", list(PROCESSES))
def test_the_in_process_api_is_made_when_it_is_asked(patch: str) -> None:
    for mode, before in (("patched", "False"), ("stock", "True")):
        command = [sys.executable, "-c", ASKS, mode, patch, *PROCESSES[patch]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.split()[-3:] == [before, "200", "True"], (
            mode,
            done.stdout,
            done.stderr[-2000:],
        )


def test_the_in_process_patch_steps_back_from_an_unknown_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.jobs import triggerer_job_runner

    monkeypatch.setattr(triggerer_job_runner, "in_process_api_server", lambda: None)
    assert not catalogue.triggerer_api_when_asked()


LIBCST = """
import sys
from windtunnel.patches import catalogue
if sys.argv[1] == "patched":
    assert catalogue.libcst_when_asked()
import airflow
from airflow.sdk.bases.decorator import remove_task_decorator
import airflow.dag_processing.manager, airflow.jobs.triggerer_job_runner, airflow.jobs.scheduler_job_runner
print("libcst" in sys.modules, repr(remove_task_decorator(sys.argv[2], "@task.virtualenv")), "libcst" in sys.modules)
import libcst
print(libcst.parse_module("x = 1").code, libcst.CSTTransformer)
"""
SOURCE = (
    "@task.virtualenv(requirements=['x'])\n@other\n@setup\ndef f():\n    # kept\n    return 1\n"
)


def said_by_each(code: str, *arguments: str) -> dict[str, str]:
    """The output of a program that runs once patched and once as upstream made it."""
    said = {}
    for mode in ("patched", "stock"):
        done = subprocess.run(
            [sys.executable, "-c", code, mode, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said[mode] = done.stdout
    return said


def test_libcst_is_loaded_when_it_is_asked_and_works_then() -> None:
    said = said_by_each(LIBCST, SOURCE)
    assert said["stock"].startswith("True "), (
        "Airflow does without libcst by itself now: remove the patch"
    )
    assert said["patched"] == said["stock"].replace("True ", "False ", 1)
    assert "@other\\ndef f" in said["patched"]


def test_the_libcst_patch_steps_back_once_airflow_is_loaded() -> None:
    import airflow  # noqa: F401

    assert not catalogue.libcst_when_asked()


LOG_SERVER = """
import sys
from windtunnel.patches import catalogue
if sys.argv[1] == "patched":
    assert catalogue.log_server_when_asked()
from airflow.cli.commands.triggerer_command import _serve_logs
with _serve_logs(True):
    loaded = "airflow.utils.serve_logs.log_server" in sys.modules
from airflow.utils.serve_logs import serve_logs
import airflow.utils.serve_logs.core
real = airflow.utils.serve_logs.core.serve_logs
try:
    serve_logs(novelty=1)
except TypeError as error:
    print(loaded, error)
from airflow.utils.serve_logs import serve_logs
print(serve_logs is real)
"""


def test_the_log_server_is_loaded_when_it_is_started() -> None:
    said = said_by_each(LOG_SERVER)
    assert said["stock"].startswith("True "), (
        "Airflow looks at the option first now: remove the patch"
    )
    assert said["patched"] == said["stock"].replace("True ", "False ", 1)
