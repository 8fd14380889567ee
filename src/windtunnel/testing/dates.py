"""A point in time as a test writes it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from windtunnel.errors import UsageError

#: "2026-01-31", "2026-01-31T12:00+02:00", a date or a datetime. Without a zone, UTC is meant.
When = str | date


def aware(when: When, name: str) -> datetime:
    """The time with its zone.

    Args:
        name: what the test calls it.

    Raises:
        UsageError: it is no point in time.
    """
    found: object = when
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            found = None
    elif isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time())
    if not isinstance(found, datetime):
        step = "give a date, a datetime, or text such as '2026-01-31'"
        raise UsageError(f"{name}={when!r} is no point in time: {step}")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
