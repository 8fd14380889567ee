"""One result of `windtunnel doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one examination. `remedy` is a command or one step, empty without a fault."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
