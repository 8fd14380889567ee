"""How a patch steps back."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("windtunnel._upstream")


def skip(patch: str, why: str) -> bool:
    """One warning; the patch's result is "not applied"."""
    log.warning("windtunnel: patch %r is not applied: %s (docs/reference/upstream.md)", patch, why)
    return False


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's parameters, by which a patch knows its target."""
    return list(inspect.signature(function).parameters)
