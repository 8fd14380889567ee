"""Signals that end a test session: its stack ends with it, and whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: SIGHUP: the terminal was closed.
ENDING = (signal.SIGTERM, signal.SIGHUP)


def end_as_ctrl_c() -> None:
    """Make these signals end the session as Ctrl-C does: otherwise its stack would be left."""
    if not _is_main():
        return  # Python refuses it elsewhere.
    for each in ENDING:
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, signal.default_int_handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Ignore a second Ctrl-C while the stack ends: otherwise half of it would be left."""
    if not _is_main():
        yield
        return
    former = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for each, handler in former.items():
            # None: it was not set from Python.
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
