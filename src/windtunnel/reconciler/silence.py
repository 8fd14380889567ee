"""Measures for how long a value has not changed, although the observer may be suspended itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Silence(Generic[K]):
    """For how long each value has not changed, on the observer's monotonic clock.

    Wall clocks jump, and a suspended machine suspends the observed process too. So only the change
    of a value counts, and one look adds `step` seconds at most.

    Args:
        limit: seconds without a change after which a key is silent.
        step: the most that one look adds, seconds; above the time between two looks.
    """

    def __init__(self, limit: float, step: float) -> None:
        self.limit, self.step = limit, step
        self._last: float | None = None
        self._seen: dict[K, tuple[object, float]] = {}

    def reset(self) -> None:
        """Observation was interrupted: all values begin anew."""
        self._last, self._seen = None, {}

    def pause(self) -> None:
        """Observation was interrupted since the last look: that time counts for no value."""
        self._last = None

    def unchanged(self, values: Mapping[K, object]) -> bool:
        """Whether any value is the one of the last look."""
        last = {key: value for key, (value, _) in self._seen.items()}
        return any(key in last and last[key] == value for key, value in values.items())

    def look(self, values: Mapping[K, object], now: float) -> set[K]:
        """The keys that are silent. Keys that `values` lacks are forgotten."""
        passed = 0.0 if self._last is None else min(now - self._last, self.step)
        self._last = now
        seen: dict[K, tuple[object, float]] = {}
        for key, value in values.items():
            former, seconds = self._seen.get(key, (None, 0.0))
            unchanged = key in self._seen and former == value
            seen[key] = (value, seconds + passed if unchanged else 0.0)
        self._seen = seen
        return {key for key, (_, seconds) in seen.items() if seconds >= self.limit}
