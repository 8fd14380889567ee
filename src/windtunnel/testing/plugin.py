"""What pytest loads (`pytest11`): options, fixtures, and the end of the session's stack.

Every test session of an environment with windtunnel loads this file, so it imports only pytest.
"""

from __future__ import annotations

import os
import shlex
import signal
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.testing import options
from windtunnel.testing.options import ALONE, OWNER, SESSION, STACK

if TYPE_CHECKING:
    from windtunnel.clients.airflow import Airflow
    from windtunnel.testing.stack import Windtunnel


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    config.stash[SESSION] = given.get("windtunnel_session") or uuid.uuid4().hex[:12]
    config.stash[OWNER] = given.get("windtunnel_owner") or os.getpid()
    line = "windtunnel_alone: under pytest-xdist no other test uses the stack meanwhile"
    config.addinivalue_line("markers", line)
    if config.getoption("--windtunnel-report-dir"):
        from windtunnel.testing.report.plugin import register

        register(config)
    if config.getoption("--windtunnel-check"):
        from windtunnel.testing.checks import Checks

        config.pluginmanager.register(Checks(config), "windtunnel-checks")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: its workers share one stack, which this process ends."""
    end_on_sigterm()
    node.workerinput["windtunnel_session"] = node.config.stash[SESSION]
    node.workerinput["windtunnel_owner"] = os.getpid()


def pytest_unconfigure(config: pytest.Config) -> None:
    is_controller = config.pluginmanager.has_plugin("dsession")
    if hasattr(config, "workerinput") or not (STACK in config.stash or is_controller):
        return
    from windtunnel.testing import places

    if config.getoption("--windtunnel-keep"):
        places.keep_session(config.stash[SESSION])
    else:
        places.end_session(config.stash[SESSION])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Under pytest-xdist a test that breaks the stack has it alone."""
    shares = hasattr(item.config, "workerinput")
    if not shares or "windtunnel" not in getattr(item, "fixturenames", ()):
        return (yield)
    from windtunnel.testing import places, turns

    config = item.config
    folder = places.begin_session(config.stash[SESSION], config.stash[OWNER])
    config.stash[ALONE] = turns.is_alone(item)
    with turns.turn(folder, config.stash[ALONE]):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what goes on running, and how to end it."""
    config = terminalreporter.config
    kept = config.getoption("--windtunnel-keep") or config.getoption("--windtunnel") == "reuse"
    if not kept:
        return
    from windtunnel.testing import places

    for state in places.running(config.stash[SESSION]):
        command = f"WINDTUNNEL_STATE={shlex.quote(str(state))} windtunnel down"
        terminalreporter.write_line(f"windtunnel: a stack goes on running; end it with: {command}")


def end_on_sigterm() -> None:
    """Make SIGTERM end the session as Ctrl-C does: otherwise its stack would be left."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def windtunnel_project(pytestconfig: pytest.Config) -> Path:
    """The folder of the project whose DAGs are tested. Override it to name another one.

    pytest's rootdir; where it has no DAGs, the folder in which pytest was started.
    """
    return options.project(pytestconfig)


@pytest.fixture(scope="session")
def windtunnel_environment() -> dict[str, str]:
    """More variables for the stack, for example WORKER_CONCURRENCY. Override it to set some."""
    return {}


@pytest.fixture(scope="session")
def windtunnel(
    pytestconfig: pytest.Config,
    windtunnel_project: Path,
    windtunnel_environment: dict[str, str],
) -> Windtunnel:
    """The running stack: start runs, break parts of it, look at results.

    The first test that asks for it starts the stack. A start that failed fails every such test with
    the same cause, and is not tried again.
    """
    from windtunnel.testing.session import Session

    end_on_sigterm()
    # Also a start that fails leaves something to end.
    pytestconfig.stash[STACK] = None
    project = Path(windtunnel_project).resolve()
    stack = Session(pytestconfig, project, windtunnel_environment).stack()
    pytestconfig.stash[STACK] = stack
    return stack


@pytest.fixture(scope="session")
def windtunnel_airflow(windtunnel: Windtunnel) -> Airflow:
    """A client of the stack's Airflow REST API (v2), logged in as the administrator."""
    return windtunnel.airflow
