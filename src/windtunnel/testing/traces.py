"""A failure ends at the line of the test, and not in windtunnel's own files."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pytest

from windtunnel.errors import WindtunnelError

#: As it was imported, as frames name it: not resolved, since Nix links packages together.
PACKAGE = str(Path(__file__).parents[1]) + "/"


def shorten(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Leave out the frames of windtunnel and of what it calls, where it refuses or asserts.

    An error of another kind may be a mistake of windtunnel's own: its frames stay.
    """
    if not isinstance(excinfo.value, WindtunnelError | AssertionError):
        return
    last, ours = None, False
    entry: TracebackType | None = excinfo.tb
    while entry:
        file = entry.tb_frame.f_code.co_filename
        if file.startswith(PACKAGE):
            ours = True
        elif "site-packages" not in file and "/lib/python3" not in file:
            # pytest's own frames come before it.
            last, ours = entry, False
        entry = entry.tb_next
    if last and ours:
        # pytest reads the chain itself: a shorter list of frames would not do.
        last.tb_next = None
        excinfo.traceback = type(excinfo.traceback)(excinfo.tb)
