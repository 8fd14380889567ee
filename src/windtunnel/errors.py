"""Exit codes and the one exception that ends a command with a plain message."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command (docs/reference/cli.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_STACK = 3
    TIMED_OUT = 124


class WindtunnelError(Exception):
    """A cause and the next step for a person, printed as one line and never as a traceback.

    Args:
        message: the fault, and the step that helps.
        code: the exit code of the command.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(WindtunnelError):
    """A variable or argument that cannot be used as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


class NoStackError(WindtunnelError):
    """The command needs a running stack and there is none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.NO_STACK)


def exit_code(program: Callable[[], object]) -> int:
    """Run a program to its end; a `WindtunnelError` is printed as one line."""
    try:
        program()
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        return error.code
    return Exit.OK
