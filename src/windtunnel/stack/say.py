"""The lines of the commands that change a stack."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print one line for the person; standard output belongs to a command's result."""
    print(f"windtunnel: {text}", file=sys.stderr, flush=True)
