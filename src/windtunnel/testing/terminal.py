"""A line for the person at the terminal."""

from __future__ import annotations

import pytest


def say(config: pytest.Config, text: str) -> None:
    """Write a line past the capturing of output. Processes of pytest-xdist have no terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None or hasattr(config, "workerinput"):
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(text)
