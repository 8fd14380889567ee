"""What an examination of this machine found (`windtunnel doctor`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing examined. `remedy` is a command or one step, empty where nothing is wrong."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
