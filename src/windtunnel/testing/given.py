"""Looks at what a test gives to Airflow: a refusal of the API would not name the argument."""

from __future__ import annotations

import json
from typing import Any

from windtunnel.errors import UsageError


def conf(value: Any) -> None:
    """Raises `UsageError` where it cannot be the conf of a run."""
    if value is not None and not isinstance(value, dict):
        raise UsageError(f"conf={value!r} is no dictionary")
    json_value("conf", value)


def texts(**values: Any) -> None:
    """Raises `UsageError` where one is no text; None is left out."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            # It may be a password.
            raise UsageError(f"{name} is no text, but {type(value).__name__}")


def whole(name: str, value: Any) -> None:
    """Raises `UsageError` where it is no whole number."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise UsageError(f"{name}={value!r} is no whole number")


def json_value(name: str, value: Any) -> str:
    """The value as JSON; raises `UsageError` where it has none."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is no JSON: {error}") from None


def json_text(name: str, value: Any) -> str | None:
    """A dictionary as JSON text; text as it is."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise UsageError(f"{name}={value!r} is no dictionary and no JSON text")
    return json_value(name, value)
