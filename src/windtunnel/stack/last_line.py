"""The end of a command by an exception: one line for a person, and the exit code."""

from __future__ import annotations

import sys

from windtunnel.errors import Exit, WindtunnelError
from windtunnel.stack import absence

#: As a shell reports Ctrl-C.
INTERRUPTED = 130


def ended_by(error: BaseException) -> int:
    """Prints one line about an error, none about an interrupt. Returns the exit code."""
    if isinstance(error, WindtunnelError):
        error = absence.explained(error)
        print(f"windtunnel: {error}", file=sys.stderr)
        return error.code
    if isinstance(error, OSError):
        what = error.filename or "the system"
        print(f"windtunnel: {what}: {error.strerror or error}", file=sys.stderr)
        return Exit.FAILED
    return INTERRUPTED
