"""The command-line options of the plugin, and what a session keeps in pytest's stash."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from windtunnel.testing.stack import Windtunnel
    from windtunnel.testing.turns import Turn

MODES = ("private", "reuse", "attach")
#: The cache folder as it was when pytest started: a test may set another HOME. Empty for none.
CACHE = pytest.StashKey[str]()
#: The name of the session's folder, and the process that ends its stack.
SESSION = pytest.StashKey[str]()
OWNER = pytest.StashKey[int]()
STACK: pytest.StashKey[Windtunnel | None] = pytest.StashKey()
#: The turn of the running test (`turns.Turn`); without one, nobody shares the stack.
TURN: pytest.StashKey[Turn] = pytest.StashKey()
#: The folder of the locks, where other sessions share the stack.
TURNS = pytest.StashKey[Path]()
#: The folder of the project, as the session's fixture names it.
PROJECT = pytest.StashKey[Path]()
#: The lock of a reused stack.
USE = pytest.StashKey[IO[str]]()
#: The state folder of the stack, also of one that did not start.
STATE = pytest.StashKey[Path]()


def cache_now() -> str:
    """The cache folder; empty where this user has none."""
    from windtunnel.errors import UsageError
    from windtunnel.system.cache_folder import cache

    try:
        return str(cache())
    except UsageError:
        return ""


def add(parser: pytest.Parser) -> None:
    """Add the options to pytest."""
    group = parser.getgroup("windtunnel", "windtunnel: DAGs on real workers")
    group.addoption(
        "--windtunnel",
        choices=MODES,
        default="private",
        help="which stack the tests use: one of this session (private, the default), "
        "one that outlives the session and is found again (reuse), "
        "or the running stack of the project (attach)",
    )
    group.addoption(
        "--windtunnel-workers",
        type=_count,
        metavar="N",
        help="the number of Celery workers (1 by default)",
    )
    group.addoption(
        "--windtunnel-start-timeout",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how long the start may take, with the installation of the project's packages",
    )
    group.addoption(
        "--windtunnel-schedules",
        action="store_true",
        help="let the scheduler also start the runs of schedules and assets; "
        "otherwise only tests start runs",
    )
    group.addoption(
        "--windtunnel-report-dir",
        metavar="DIR",
        help="write a report of the failed tests into this folder: logs, status, a page",
    )
    group.addoption(
        "--windtunnel-check",
        action="store_true",
        help="check each DAG file of the project, as `windtunnel check` does; needs no stack",
    )
    group.addoption(
        "--windtunnel-keep",
        action="store_true",
        help="leave a private stack running at the end, and say where",
    )


def project(config: pytest.Config) -> Path:
    """pytest's rootdir; where it has no DAGs, the folder in which pytest was started."""
    from windtunnel.project import layout
    from windtunnel.project.folder import Folder

    root, here = config.rootpath, config.invocation_params.dir
    return next((each for each in (root, here) if layout.dag_folders(Folder(each))), root)


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of workers from 1 to 100")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds > 0:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
