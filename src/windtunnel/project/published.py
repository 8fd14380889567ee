"""Airflow's published constraints: the versions that each release was tested with.

https://airflow.apache.org/docs/apache-airflow/stable/installation/installing-from-pypi.html
"""

from __future__ import annotations

import contextlib
import os
import re

import httpx

from windtunnel.system.cache_folder import cache

ADDRESS = "https://raw.githubusercontent.com/apache/airflow/constraints-{}/constraints-{}.txt"
#: A company's network may drop what goes to that host.
ANSWER_SECONDS = 4.0
LINE = re.compile(r"[\w.-]+==[\w.+!-]+")


def constraints(airflow: str, python: str) -> tuple[list[str], str]:
    """The lines for one release of Airflow and one minor version of Python, and their origin.

    No lines where the file cannot be had.
    """
    kept = cache() / "constraints" / f"{airflow}-{python}.txt"
    try:
        text = kept.read_text()
    except OSError:
        text = _fetch(airflow, python)
        if _lines(text):
            # The next time works without a network; a cache that cannot be written costs only that.
            with contextlib.suppress(OSError):
                kept.parent.mkdir(parents=True, exist_ok=True)
                # In one step: half a file would limit half of the packages, for ever.
                new = kept.with_name(f".{kept.name}.{os.getpid()}")
                new.write_text(text)
                new.replace(kept)
    lines = _lines(text)
    return lines, "Airflow's published constraints" if lines else "nothing"


def _lines(text: str) -> list[str]:
    """The pins. A network that answers everything with a page of its own gives none."""
    return [line for line in text.splitlines() if LINE.fullmatch(line)]


def _fetch(airflow: str, python: str) -> str:
    try:
        answer = httpx.get(ADDRESS.format(airflow, python), timeout=ANSWER_SECONDS)
        return answer.text if answer.status_code == httpx.codes.OK else ""
    except (httpx.HTTPError, OSError):
        return ""
