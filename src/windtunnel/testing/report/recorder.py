"""pytest's hooks around one test, in the process that runs it: they fill its folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.testing.options import STACK, STATE
from windtunnel.testing.report import folder

if TYPE_CHECKING:
    from windtunnel.testing.report.entry import Entry
    from windtunnel.testing.report.source import Source
    from windtunnel.testing.stack import Windtunnel

FIXTURE = "windtunnel"
#: The attribute of a pytest report whose test used the stack.
MARK = "windtunnel"


@dataclass
class Begun:
    """The test that runs. `runs` and `faults` count what the journal held before it."""

    node: str = ""
    time: float = field(default_factory=time.time)
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    runs: int = 0
    faults: int = 0
    entry: Entry | None = None


class Recorder:
    """The plugin object of a process that runs tests. `target` is the folder of the report."""

    def __init__(self, config: pytest.Config, target: Path) -> None:
        self.config, self.target = config, target
        self.trouble = ""
        self.begun = Begun()
        self.start_failed: Entry | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        self._begin(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        value = yield
        if fixturedef.argname == FIXTURE:
            # The start of the stack is no part of the test.
            self._begin(self.begun.node)
        return value

    def _begin(self, node: str) -> None:
        self.begun = Begun(node)
        stack = self._stack()
        if stack is not None:
            from windtunnel.testing.report import logs

            self.begun.positions = logs.positions(stack.settings.logs)
            self.begun.runs = len(stack.journal.runs)
            self.begun.faults = len(stack.journal.faults)
        if hasattr(self.config, "workerinput") and STATE in self.config.stash:
            self._note_begun()

    def _note_begun(self) -> None:
        """For the controlling process of pytest-xdist, should this one die in the test."""
        state = str(self.config.stash[STATE])
        known = {"node": self.begun.node, "time": self.begun.time, "state": state}
        try:
            file = self.target / folder.RUNNING / f"{os.getpid()}.json"
            file.write_text(json.dumps(known | {"positions": self.begun.positions}))
        except OSError as error:
            self.trouble = folder.trouble(self.target, error)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        stack = self._stack()
        uses = FIXTURE in getattr(item, "fixturenames", ())
        if uses or (stack is not None and len(stack.journal.runs) > self.begun.runs):
            # pytest-xdist takes it along to the controlling process.
            report.__dict__[MARK] = True
            if report.failed:
                try:
                    self._failed(report)
                except OSError as error:
                    self.trouble = folder.trouble(self.target, error)
        return report

    def pytest_sessionfinish(self) -> None:
        output: dict[str, Any] | None = getattr(self.config, "workeroutput", None)
        if output is not None:
            output["windtunnel_report_trouble"] = self.trouble

    def _failed(self, report: pytest.TestReport) -> None:
        from windtunnel.pages import redact
        from windtunnel.testing.report import entry

        stack = self._stack()
        secrets = stack.journal.secrets if stack else ()
        hide = redact.of_stack(self.config.stash.get(STATE, None), secrets)
        crash = getattr(report.longrepr, "reprcrash", None)
        message = hide(crash.message if crash else report.longreprtext).removeprefix("Failed: ")
        if self.begun.entry is not None:
            # Its teardown failed as well, or another one of its subtests.
            found = self.begun.entry
            found.message += f"\n\nin {report.when}: {message}"
            place = self.target / folder.TESTS / found.folder
        else:
            place = folder.of_test(self.target, report.nodeid)
            outcome = "failed" if report.when == "call" else f"error in {report.when}"
            begin = self.begun.time
            found = entry.Entry(report.nodeid, outcome, message, begin, time.time(), place.name)
            self.begun.entry = found
            found.files.append("message.txt")
            self._collect(place, found)
        with open(place / "message.txt", "a", errors="backslashreplace") as file:
            sections = [f"---- {title} ----\n{text}" for title, text in report.sections]
            file.write(hide("\n".join([report.longreprtext, *sections])) + "\n")
        found.write(place)

    def _collect(self, place: Path, found: Entry) -> None:
        from windtunnel.testing.report import collect

        if STATE not in self.config.stash:
            return
        starts = self._stack() is None
        if starts and self.start_failed is not None:
            # A start that failed fails each test with the same cause.
            first = self.start_failed
            found.files += [f"../{first.folder}/{name}" for name in first.files[1:]]
            return
        collect.Collector(place, found, self._source(self.config.stash[STATE])).collect()
        if starts:
            self.start_failed = found

    def _source(self, state: Path) -> Source:
        from windtunnel.testing.report.source import Source

        stack = self._stack()
        if stack is None:
            attached = self.config.getoption("--windtunnel") == "attach"
            return Source(state, None, up_log=None if attached else state.parent / "up.log")
        return Source(
            state,
            stack.settings,
            self.begun.positions,
            stack.journal.runs[self.begun.runs :],
            stack.journal.faults[self.begun.faults :],
            stack.journal.secrets,
        )

    def _stack(self) -> Windtunnel | None:
        return self.config.stash.get(STACK, None)
