"""The exceptions behind the import errors of a DAG file, with the frames of the project's code.

Standard library only: it runs in the process that parses a DAG file.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from windtunnel.check.own_code import MOST_FRAMES, OwnCode, Place

LONGEST_MESSAGE = 2000


class Faults:
    """Keeps each exception that Airflow turns into the text of an import error."""

    def __init__(self, own: OwnCode) -> None:
        self._own = own
        self._raised: list[BaseException] = []
        self._original = traceback.format_exc
        traceback.format_exc = self._noting

    def _noting(self, *args: Any, **kwargs: Any) -> str:
        error = sys.exc_info()[1]
        if error is not None:
            self._raised.append(error)
        return self._original(*args, **kwargs)

    def of(self, texts: list[str]) -> list[dict[str, Any]]:
        """One entry for each import error, with the exception behind it where there is one."""
        found = []
        for text in texts:
            error = next((each for each in self._raised if _last_line(each) in text), None)
            if error is not None:
                self._raised.remove(error)
                found.append(describe(error, self._own))
            else:
                # `DagBag.process_file` writes `Type: message` for what is wrong with a DAG itself.
                kind, colon, message = text.partition(": ")
                named = bool(colon) and kind.isidentifier()
                found.append(_described(kind if named else "", message if named else text, []))
        return found


def describe(error: BaseException, own: OwnCode) -> dict[str, Any]:
    """The type, the message and the last frames of the project's own code."""
    stack = [
        (each.filename, each.lineno or 0, each.name)
        for each in traceback.extract_tb(error.__traceback__)
    ]
    frames: list[Place] = [each for each in stack if own.holds(each[0])][-MOST_FRAMES:]
    message = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        message = error.msg
        if own.holds(error.filename):
            frames = [*frames, (error.filename, error.lineno or 0, "<module>")][-MOST_FRAMES:]
        else:
            message += f" ({error.filename}:{error.lineno})"
    found = _described(type(error).__name__, message, frames)
    cause = error.__cause__
    if cause is not None and str(cause) not in message:
        found["message"] += f", caused by {type(cause).__name__}: {str(cause)[:LONGEST_MESSAGE]}"
    return found


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _described(kind: str, message: str, frames: list[Place]) -> dict[str, Any]:
    return {"type": kind, "message": message.strip()[:LONGEST_MESSAGE], "frames": frames}
