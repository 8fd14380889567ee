"""What pytest loads (`pytest11`): options, fixtures, and the end of the session's stack.

Every test session of an environment with windtunnel loads this file, so it imports only pytest.
Over 200 lines, because pytest finds hooks and fixtures in this one file only.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.testing import options
from windtunnel.testing.options import CACHE, OWNER, PROJECT, SESSION, STACK, TURN, TURNS

if TYPE_CHECKING:
    from windtunnel.clients.airflow import Airflow
    from windtunnel.testing.changes import Change
    from windtunnel.testing.stack import Windtunnel


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    config.stash[SESSION] = given.get("windtunnel_session") or uuid.uuid4().hex[:12]
    config.stash[OWNER] = given.get("windtunnel_owner") or os.getpid()
    config.stash[CACHE] = given.get("windtunnel_cache") or options.cache_now()
    line = "windtunnel_alone: no other process or session uses the stack meanwhile"
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
    from windtunnel.testing import interrupts

    interrupts.end_as_ctrl_c()
    node.workerinput["windtunnel_session"] = node.config.stash[SESSION]
    node.workerinput["windtunnel_owner"] = os.getpid()
    node.workerinput["windtunnel_cache"] = node.config.stash[CACHE]


def pytest_unconfigure(config: pytest.Config) -> None:
    # Not in a worker of pytest-xdist, nor in a process that a test has forked and that came here.
    if config.stash.get(OWNER, 0) != os.getpid():
        return
    # The folder says whether there was a stack: pytest-forked starts it in another process.
    cache, session = config.stash[CACHE], config.stash[SESSION]
    if not cache or session not in _names(f"{cache}/testing"):
        return
    from windtunnel.testing import interrupts, places

    with places.below(cache), interrupts.held_back():
        if config.getoption("--windtunnel-keep"):
            places.keep_session(session)
        else:
            places.end_session(session)


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)  # noqa: PTH208 # pathlib would be one import more
    return []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that breaks a stack which others use has it alone."""
    config = item.config
    is_one_of_several = hasattr(config, "workerinput")
    is_private = config.getoption("--windtunnel") == "private"
    if is_private and not is_one_of_several:
        return (yield)
    from windtunnel.errors import WindtunnelError
    from windtunnel.testing import places, terminal, turns

    # A test that asks for the fixture while it runs has no turn yet.
    expected = "windtunnel" in getattr(item, "fixturenames", ())
    turn = turns.Turn(
        alone=expected and turns.is_alone(item),
        may_wait=not is_one_of_several,
        say=lambda text: terminal.say(config, text),
    )
    config.stash[TURN] = turn
    try:
        # Where the folder cannot be written, the fixture says so.
        with contextlib.suppress(OSError, WindtunnelError):
            if is_private and expected:
                with places.below(config.stash[CACHE]):
                    turn.folder = places.begin_session(config.stash[SESSION], config.stash[OWNER])
            else:
                # The first test learns it from the fixture: a project may name its own folder.
                turn.folder = config.stash.get(TURNS, None)
            if expected:
                turn.begin()
        return (yield)
    finally:
        turn.end()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Mend what a test of another process that was killed meanwhile has left."""
    turn, stack = item.config.stash.get(TURN, None), item.config.stash.get(STACK, None)
    if turn and turn.has_begun and stack:
        from windtunnel.testing import mending

        mending.mend(stack.settings)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Let a failure end at the line of the test."""
    full = item.config.getoption("fulltrace", False)
    if call.excinfo and STACK in item.config.stash and not full:
        from windtunnel.testing import traces

        traces.shorten(call.excinfo)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """What a fixture of a wider scope changes lasts as long as the fixture."""
    stack = request.config.stash.get(STACK, None)
    if stack is None or fixturedef.scope == "function":
        return (yield)
    begun = len(stack.changes)
    mine: list[Change] = []
    # Before the fixture's own end is registered, so this comes after it.
    fixturedef.addfinalizer(lambda: stack.changes.undo(mine))
    try:
        return (yield)
    finally:
        mine += stack.changes.take(begun)


@pytest.fixture(autouse=True)
def _windtunnel_changes(pytestconfig: pytest.Config) -> Generator[None]:
    """The end of a test undoes what it changed, and ends the runs that it has left."""
    stack = pytestconfig.stash.get(STACK, None)
    begun = len(stack.changes) if stack else 0
    yield
    # The first test may have started the stack meanwhile.
    if stack := pytestconfig.stash.get(STACK, None):
        stack.changes.undo(stack.changes.take(begun))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what goes on running, and how to end it."""
    config = terminalreporter.config
    kept = config.getoption("--windtunnel-keep") or config.getoption("--windtunnel") == "reuse"
    if not kept:
        return
    from windtunnel.testing import places, up_command

    project = config.stash.get(PROJECT, None)
    with places.below(config.stash[CACHE]):
        states = places.running(config.stash[SESSION], project or options.project(config))
    for state in states:
        command = f"WINDTUNNEL_STATE={shlex.quote(str(state))} {up_command.spoken()} down"
        terminalreporter.write_line(f"windtunnel: a stack goes on running; end it with: {command}")


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
    from windtunnel.testing import interrupts
    from windtunnel.testing.session import Session

    interrupts.end_as_ctrl_c()
    # Also a start that fails leaves something to end.
    pytestconfig.stash[STACK] = None
    project = pytestconfig.stash[PROJECT] = Path(windtunnel_project).resolve()
    stack = Session(pytestconfig, project, windtunnel_environment).stack()
    pytestconfig.stash[STACK] = stack
    return stack


@pytest.fixture(scope="session")
def windtunnel_airflow(windtunnel: Windtunnel) -> Airflow:
    """A client of the stack's Airflow REST API (v2), logged in as the administrator."""
    return windtunnel.airflow
