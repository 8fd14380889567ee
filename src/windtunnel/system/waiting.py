"""Waiting for a condition, with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(check: Callable[[], object], seconds: float, every: float) -> bool:
    """Calls `check` until it returns something true.

    Args:
        seconds: the time limit. The first call happens in any case.
        every: the pause between two calls, in seconds.

    Returns:
        Whether the condition came true within the limit. An exception of `check` passes through.
    """
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= end:
            return False
        time.sleep(every)
    return True
