"""The slowest imports of a DAG file, timed as `python -X importtime` does.

CPython calls `importlib._bootstrap._find_and_load` for each module that is not there yet
(Python/import.c, import_find_and_load), and looks it up anew each time.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Imports that a report names, and the least time of one.
MOST = 5
LEAST_MILLISECONDS = 50


@dataclass
class _Import:
    name: str
    parent: _Import | None
    seconds: float = 0.0
    #: Of the imports within.
    inner: float = 0.0


class ImportTimes:
    """Times each import until the process ends.

    Args:
        loaded: called with the name of each module that was just imported.
    """

    def __init__(self, loaded: Callable[[str], None]) -> None:
        self._found: list[_Import] = []
        self._current: _Import | None = None
        self._loaded = loaded
        bootstrap: Any = importlib._bootstrap
        self._original = bootstrap._find_and_load
        bootstrap._find_and_load = self._timed

    def _timed(self, name: str, import_: Any) -> Any:
        this = self._current = _Import(name, self._current)
        self._found.append(this)
        start = time.perf_counter()
        try:
            module = self._original(name, import_)
        finally:
            this.seconds = time.perf_counter() - start
            self._current = this.parent
            if this.parent is not None:
                this.parent.inner += this.seconds
        self._loaded(name)
        return module

    def slowest(self, is_own: Callable[[str], bool]) -> dict[str, float]:
        """The slowest imports in the project's own code, each with all that it imports itself.

        Args:
            is_own: whether a file is the project's own. Of its modules only their own time counts.
        """
        own: set[int] = set()
        times: dict[str, float] = {}
        for each in self._found:
            if each.parent is not None and id(each.parent) not in own:
                continue
            file = getattr(sys.modules.get(each.name), "__file__", None)
            if isinstance(file, str) and is_own(file):
                own.add(id(each))
                times[each.name] = each.seconds - each.inner
            else:
                times[each.name] = each.seconds
        long = [item for item in times.items() if item[1] * 1000 >= LEAST_MILLISECONDS]
        return dict(sorted(long, key=lambda item: -item[1])[:MOST])
