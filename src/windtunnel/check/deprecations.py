"""The deprecation warnings that a project's own lines cause while a DAG file is parsed.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from windtunnel.check.own_code import OwnCode, Place

#: Those of Airflow and of its providers are among them.
CATEGORIES = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
LONGEST_MESSAGE = 500


class Deprecations:
    """Hears every warning, also one that is collected by `warnings.catch_warnings` meanwhile.

    `_warnings.c` looks `warnings._showwarnmsg` up for each warning (call_show_warning).
    """

    def __init__(self, own: OwnCode) -> None:
        self.found: dict[tuple[str, str, Place], dict[str, Any]] = {}
        self._own = own
        module: Any = warnings
        self._original = module._showwarnmsg
        module._showwarnmsg = self._hear
        for category in CATEGORIES:
            warnings.simplefilter("always", category)

    def _hear(self, message: warnings.WarningMessage) -> None:
        if issubclass(message.category, CATEGORIES):
            place = self._place(message)
            text = " ".join(str(message.message).split())[:LONGEST_MESSAGE]
            category = message.category.__name__
            if place is not None:
                found = {"category": category, "text": text, "frames": [place]}
                self.found.setdefault((category, text, place), found)
        self._original(message)

    def _place(self, message: warnings.WarningMessage) -> Place | None:
        # Whoever warns may name the caller's line (`stacklevel`).
        if self._own.holds(message.filename):
            return message.filename, message.lineno, ""
        return self._own.user_of(sys._getframe(2))
