"""The command that starts a stack, and what it has said."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

#: The last lines of a start that failed.
LINES = 15


def program() -> str:
    """windtunnel beside the Python that runs the tests, else that of PATH."""
    beside = Path(sys.executable).with_name("windtunnel")
    return str(beside) if beside.is_file() else (shutil.which("windtunnel") or "windtunnel")


def last_lines(log: Path) -> str:
    """The end of the command's output."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LINES:])
