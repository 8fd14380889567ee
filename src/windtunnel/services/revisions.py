"""The revisions of Airflow's tables that the installed Airflow knows, without an import of it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

LINE = re.compile(r"""^(down_)?revision(?:\s*:[^=]+)? *= *["'](\w+)["']""", re.M)


def known() -> tuple[set[str], set[str]]:
    """All revisions, and those of them that no other one follows: the newest."""
    spec = find_spec("airflow")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for folder in folders:
        for file in (Path(folder) / "migrations" / "versions").glob("*.py"):
            for down, revision in LINE.findall(file.read_text()):
                found[bool(down)].add(revision)
    return found[False], found[False] - found[True]
