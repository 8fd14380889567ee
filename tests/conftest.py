"""Shared fixtures: private stacks on real processes, which leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.stack_fixture import NewStack, Stack
from windtunnel.stack.ports import free_offset

ROOT = Path(__file__).resolve().parents[1]
#: Folders whose tests start stacks.
LIVE = ("faults", "hosts", "stack")
#: These mostly wait, for uv or for a drain. The other process has time for them.
WAITING = (
    "test_airflow_versions.py",
    "test_api_server.py",
    "test_debug.py",
    "test_down.py",
    "test_down_with_tasks.py",
    "test_plugin.py",
    "test_plugin_report.py",
    "test_project.py",
)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout under test."""
    return ROOT


@pytest.fixture
def new_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewStack]:
    """`Stack` to make private stacks with; every one made is torn down, also when the test fails."""
    made: list[Stack] = []

    def make(root: Path = ROOT, **variables: str) -> Stack:
        made.append(
            Stack(tmp_path_factory.mktemp("stack") / "state", free_offset(), root, **variables)
        )
        return made[-1]

    yield make
    for stack in made:
        stack.destroy()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for every test that leaves it as it was: one worker with two slots, a copy of the project's DAGs."""
    folder = tmp_path_factory.mktemp("shared")
    dags = Path(
        shutil.copytree(
            ROOT / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__")
        )
    )
    shared = Stack(
        state=folder / "state", offset=free_offset(), WORKER_CONCURRENCY="2", DAGS_FOLDER=str(dags)
    )
    try:
        shared.up()
        yield shared
    finally:
        shared.destroy()


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """A file for side effects, outside Airflow."""
    return tmp_path / "marks"


def pytest_configure(config: pytest.Config) -> None:
    # A run in a shell's background ignores Ctrl-C, and so would every command that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests that import Airflow itself want a configuration that needs no stack; stacks get the project's own again.
    home = tempfile.mkdtemp(prefix="windtunnel-airflow-home-")
    os.environ["AIRFLOW_HOME"] = home
    config.add_cleanup(lambda: shutil.rmtree(home))


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """With `-n 2` one process runs most tests with a live stack, and the other one all the rest.

    Two busy stacks at a time would share two cores, and the time limits are made for one.
    pytest-xdist's own `--dist loadgroup` does nothing under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        path = Path(file)
        if path.parts[1] not in LIVE:
            return file
        return "waiting" if path.name in WAITING else "live"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_sessionstart() -> None:
    # What a person exported for a stack of their own must not reach the private ones.
    for name in (
        "WINDTUNNEL_STATE",
        "PORT_OFFSET",
        "WORKERS",
        "WORKER_CONCURRENCY",
        "WORKER_QUEUES",
        "DAGS_FOLDER",
        "DATABASE_URL",
        "PC_SOCKET_PATH",
    ):
        os.environ.pop(name, None)
    # Kept: WINDTUNNEL_PATCHES. `WINDTUNNEL_PATCHES=none ./dev pytest tests/stack/test_acceptance.py tests/faults/test_rows.py` shows
    # that the promises hold without patches.
    if shutil.which("process-compose") is None:
        pytest.exit("run the tests through ./dev pytest or `nix develop -c pytest`", returncode=2)
