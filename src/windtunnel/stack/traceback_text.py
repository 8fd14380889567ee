"""A traceback as Python prints it, from the field `error_detail` of an event of a task's log.

Airflow's field has the outermost exception first, then its causes (structlog's
ExceptionDictTransformer). Python prints the first cause first.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from typing import Any

DIRECT = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"


def lines(details: Any) -> Iterator[str]:
    """The lines; none for a field of another shape."""
    rows = [row for row in details if isinstance(row, dict)] if isinstance(details, list) else []
    for place, row in reversed(list(enumerate(rows))):
        yield from _one(row)
        if place:
            yield from ("", DIRECT if row.get("is_cause") else DURING, "")


def _one(row: dict[str, Any]) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for frame in row.get("frames") or []:
        file, line = str(frame.get("filename")), frame.get("lineno")
        yield f'  File "{file}", line {line}, in {frame.get("name")}'
        # As Python does: from the file, which may have changed since.
        source = linecache.getline(file, line).strip() if isinstance(line, int) else ""
        if source:
            yield f"    {source}"
    wrong = row.get("syntax_error")
    if isinstance(wrong, dict):
        yield f'  File "{wrong.get("filename")}", line {wrong.get("lineno")}'
        yield f"    {str(wrong.get('line')).strip()}"
    text = str(row.get("exc_value") or "")
    yield from f"{row.get('exc_type')}: {text}".removesuffix(": ").splitlines()
    yield from map(str, row.get("exc_notes") or [])
    for number, member in enumerate(row.get("exceptions") or [], start=1):
        yield f"  ---------------- {number} ----------------"
        yield from (f"  {line}" for line in lines(member))
