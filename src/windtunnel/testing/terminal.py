"""A line for the person at the terminal."""

from __future__ import annotations

import contextlib
import os

import pytest


def say(config: pytest.Config, text: str, *, of_all: bool = False) -> None:
    """Write a line past the capturing of output.

    Args:
        of_all: whether it matters to all processes of pytest-xdist. They have no terminal, but the
            standard error of the process that the person has started.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        return
    if hasattr(config, "workerinput"):
        with capture.global_and_fixture_disabled(), contextlib.suppress(OSError):
            if of_all:
                os.write(2, f"{text}\n".encode())
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(text)
        # It says what a person waits for now, also through a pipe.
        reporter.flush()
