"""The command that starts a stack, and what it has said."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: The last lines of a start that failed.
LINES = 15
#: A start that takes longer says what it does.
SILENT_SECONDS = 5.0


def program() -> str:
    """windtunnel beside the Python that runs the tests, else that of PATH."""
    beside = Path(sys.executable).with_name("windtunnel")
    return str(beside) if beside.is_file() else (shutil.which("windtunnel") or "windtunnel")


def spoken() -> str:
    """windtunnel as this person calls it."""
    root = os.environ.get("WINDTUNNEL_ROOT")
    if root and Path(root, "dev").is_file():
        return f"{shlex.quote(str(Path(root, 'dev')))} windtunnel"
    found = program()
    return "windtunnel" if shutil.which("windtunnel") == found else shlex.quote(found)


class Progress:
    """Shows what a start does, once it takes long."""

    def __init__(self, log: Path, say: Callable[[str], None]) -> None:
        self._log, self._say = log, say
        self._began, self._shown = time.monotonic(), ""

    def show(self) -> None:
        """Say the last line of the command's output, where it is news."""
        if time.monotonic() - self._began > SILENT_SECONDS:
            line = next(reversed(last_lines(self._log).splitlines()), "")
            if line != self._shown:
                self._shown = line
                self._say(line)


def last_lines(log: Path) -> str:
    """The end of the command's output."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LINES:])
