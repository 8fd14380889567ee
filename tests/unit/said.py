"""Stands in for `say` of the supervisor and the reconciler."""

from __future__ import annotations

import logging
from typing import Any


class Said:
    """The lines and the names of their events, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[str] = []

    def __call__(self, event: str, text: str, *, level: int = logging.INFO, **fields: Any) -> None:
        self.lines.append(text)
        self.events.append(event)
