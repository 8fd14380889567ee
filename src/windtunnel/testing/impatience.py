"""Shorter waiting for the length of a block: see `Windtunnel.impatient`.

`windtunnel.runtime.impatience` does the shortening inside Airflow, and puts a tag on each DAG that
was read so. A run starts when its DAG has the tag that belongs to this moment, or none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from windtunnel.clients.airflow import Airflow
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.runtime import impatience_file
from windtunnel.runtime.impatience_file import MOST, NONE, TAG
from windtunnel.settings import Settings

#: A file whose reading was under way at the request may have been read in its old form. So the
#: request is repeated this often, in seconds.
ASK_SECONDS = 2.0


@contextmanager
def impatient(settings: Settings, airflow: Airflow, factor: float) -> Iterator[None]:
    """See `Windtunnel.impatient`."""
    if not math.isfinite(factor) or not NONE <= factor <= MOST:
        raise UsageError(f"factor={factor!r} is no number from 1 to {MOST:,.0f}")
    before = impatience_file.read(settings.run).factor
    name = impatience_file.hold(settings.run, factor)
    try:
        _read_all_again(settings, airflow, before)
        yield
    finally:
        before = impatience_file.read(settings.run).factor
        impatience_file.release(settings.run, name)
        _read_all_again(settings, airflow, before)


def _read_all_again(settings: Settings, airflow: Airflow, before: float) -> None:
    """Have every DAG file read, where the factor has changed: a run may start others."""
    if impatience_file.read(settings.run).factor == before:
        return
    # A part that a test has broken may be away: the next start asks again.
    with suppress(WindtunnelError):
        for token in {dag["file_token"] for dag in airflow.pages("/dags", "dags")}:
            airflow.parse_again(token)


class Reader:
    """Has a DAG's file read until the DAG was read with the factor of this moment."""

    def __init__(self, settings: Settings, airflow: Airflow) -> None:
        self.settings, self.airflow = settings, airflow
        #: For the message where that takes too long.
        self.hint = ""
        self._asked = -math.inf

    def has_read(self, dag: dict[str, Any]) -> bool:
        """Whether it was. Otherwise the DAG processor is asked to read it again.

        Args:
            dag: what the API says about the DAG.
        """
        wanted = impatience_file.read(self.settings.run).tag
        found = [tag["name"] for tag in dag["tags"] if tag["name"].startswith(TAG)]
        if found == [wanted] * bool(wanted):
            return True
        step = "a stack that an older windtunnel has started must be started again"
        self.hint = f" with the tag {wanted!r}: {step}" if wanted else f" without {found[0]!r}"
        self.ask(dag)
        return False

    def ask(self, dag: dict[str, Any]) -> None:
        """Ask the DAG processor to read the DAG's file, now and then."""
        if time.monotonic() > self._asked + ASK_SECONDS:
            self._asked = time.monotonic()
            self.airflow.parse_again(dag["file_token"])
