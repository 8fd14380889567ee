"""Takes secrets out of every text that goes into the report.

Airflow and we write none into logs. A test, a DAG or a package may do so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from windtunnel.project import record

HIDDEN = "***"
#: Shorter values would take harmless words out.
SHORTEST = 6
#: Variables whose values are secrets.
NAMES = re.compile(
    r"(^|_)[A-Z]*(PASSWORD|PASSWD|SECRET|TOKEN|KEY|CREDENTIAL)S?(_|$)"
    r"|(^|_)(PASS|PWD|AUTH|DSN|CONN)(_|$)",
    re.I,
)
#: A JSON web token, what follows `Authorization:`, and a password in a URL.
SHAPES = (
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    r"(?<=bearer )[\w.~+/=-]{8,}",
    r"(?<=basic )[A-Za-z0-9+/]{8,}=*",
    r"(?<=://)[^\s/@:'\"]*:[^\s/@'\"]+(?=@)",
)


class Redactor:
    """Replaces the values that it was made with, and what looks like a token or a password."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        # A key has several lines, and a log may have each alone.
        lines = {line.strip() for value in values for line in value.splitlines()}
        known = {line for line in lines if len(line) >= SHORTEST}
        known |= {quote(value, safe="") for value in known}
        # As a log of JSON lines has it.
        known |= {json.dumps(value)[1:-1] for value in known}
        # The longest first: one may be a part of another.
        words = [re.escape(value) for value in sorted(known, key=len, reverse=True)]
        self._known = re.compile("|".join(words)) if words else None
        self._shapes = re.compile("|".join(SHAPES), re.I)

    def __call__(self, text: str) -> str:
        if self._known:
            text = self._known.sub(HIDDEN, text)
        return self._shapes.sub(HIDDEN, text)


def of_stack(state: Path | None, more: Iterable[str] = ()) -> Redactor:
    """A redactor for the secrets of a stack, of its project, of this process, and more."""
    values = {*_named(os.environ), *more}
    if state is not None:
        values |= set(_files(state / "secrets"))
        known = record.read(state)
        values |= set(_named(known.variables if known else {}))
        values |= set(_named(_json(state.parent / "variables.json")))
    return Redactor(values)


def _named(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        # Not a path: it would be missing where a log names that file.
        if NAMES.search(name) and not value.startswith("/"):
            yield value.strip()
            # A connection's password, which a log may have alone.
            with contextlib.suppress(ValueError):
                password = urlsplit(value.strip()).password or ""
                yield from (password, unquote(password))


def _files(folder: Path) -> Iterator[str]:
    for file in folder.glob("*"):
        try:
            text = file.read_text().strip()
        except (OSError, ValueError):
            continue
        yield text
        yield from (str(value) for value in _json(file).values())


def _json(file: Path) -> dict[str, str]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}
