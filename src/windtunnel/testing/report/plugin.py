"""pytest's hooks for the report of a session: its folder and its page.

The process that the user started writes the page, after each failed test: it is there also when
that process is killed.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.testing.report import folder
from windtunnel.testing.report.recorder import MARK, Recorder

if TYPE_CHECKING:
    from windtunnel.testing.report.page import Outcome

#: pytest-xdist's name for the phase of a test in which its process died.
CRASHED = "???"


def register(config: pytest.Config) -> None:
    """Each process of pytest-xdist records its own tests; the one that has them writes the page."""
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is None:
        config.pluginmanager.register(Report(config), "windtunnel-report")
    elif given["windtunnel_report"]:
        config.pluginmanager.register(Recorder(config, Path(given["windtunnel_report"])))


class Report:
    """The plugin object of the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        named = config.getoption("--windtunnel-report-dir")
        #: None where it cannot be used; `trouble` says why.
        self.folder: Path | None = config.invocation_params.dir / named
        self.trouble = ""
        self.recorder: Recorder | None = None
        self.outcomes: dict[str, Outcome] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.folder is None or self.config.option.collectonly:
            self.folder = None
            return
        try:
            folder.prepare(self.folder)
        except (OSError, folder.NotOurs) as error:
            self.trouble = folder.trouble(self.folder, error)
            self.folder = None
            return
        self.recorder = Recorder(self.config, self.folder)
        self.config.pluginmanager.register(self.recorder, "windtunnel-recorder")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["windtunnel_report"] = str(self.folder or "")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        said = getattr(node, "workeroutput", {}).get("windtunnel_report_trouble")
        self.trouble = self.trouble or said or ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == CRASHED and self.folder is not None:
            self._crashed(self.folder, report)
        elif getattr(report, MARK, False):
            self._note_outcome(report)
        if report.failed:
            self._write_page()

    def _note_outcome(self, report: pytest.TestReport) -> None:
        from windtunnel.testing.report.page import Outcome

        known = self.outcomes.get(report.nodeid)
        # The setup of the first test starts the stack: that is no time of the test.
        counts = report.when == "call" or report.failed
        seconds = (report.duration if counts else 0.0) + (known.seconds if known else 0.0)
        if report.when == "call":
            outcome = str(report.outcome)
        elif report.failed:
            outcome = "error"
        else:
            # Setup and teardown that succeed say nothing about a test that was run.
            outcome = known.outcome if known else "skipped"
        self.outcomes[report.nodeid] = Outcome(report.nodeid, outcome, seconds)

    def _crashed(self, target: Path, report: pytest.TestReport) -> None:
        """A process of pytest-xdist died in a test: collect in its place."""
        from windtunnel.testing.report import collect, entry, source

        for file in (target / folder.RUNNING).glob("*.json"):
            try:
                known = json.loads(file.read_bytes())
                if known["node"] != report.nodeid:
                    continue
                place = folder.of_test(target, report.nodeid)
                found = entry.Entry(
                    node=report.nodeid,
                    outcome="error: its process died",
                    message=report.longreprtext,
                    began=known["time"],
                    ended=time.time(),
                    folder=place.name,
                )
                found.notes.append("what the test had broken was known to its process only")
                where = source.of_dead_process(
                    report.nodeid, Path(known["state"]), known["time"], known["positions"]
                )
                collect.Collector(place, found, where).collect()
                found.write(place)
            except (OSError, ValueError, KeyError):
                continue
            self._note_outcome(report)

    def _write_page(self) -> None:
        if self.folder is None:
            return
        from windtunnel.testing.report import page

        try:
            page.write(self.folder, list(self.outcomes.values()))
        except OSError as error:
            self.trouble = folder.trouble(self.folder, error)

    def pytest_sessionfinish(self) -> None:
        self._write_page()
        if self.folder is not None:
            shutil.rmtree(self.folder / folder.RUNNING, ignore_errors=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        said = self.trouble or (self.recorder.trouble if self.recorder else "")
        if said:
            terminalreporter.write_line(said)
        if self.folder is not None and folder.has_tests(self.folder):
            where = self.folder / folder.PAGE
            terminalreporter.write_line(f"windtunnel: the report of failed tests is {where}")
