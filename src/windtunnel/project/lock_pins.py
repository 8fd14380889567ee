"""The versions of a project's `uv.lock`, and which give way where the stack's packages do not fit.

The lock of a project without Celery may hold a redis that Celery excludes, because some library
wants any redis. What the project names itself stays as it is locked; the rest is only preferred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from windtunnel.project.claims import package

#: A line of `uv export`: name, version, and perhaps a marker.
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(\S+?)(\s*;.*)?")


def kept(locked: str, project_lines: Iterable[str]) -> list[str]:
    """The lines that hold in any case: of what the project names, and of all that is no version."""
    named = {package(line) for line in project_lines}
    lines = []
    for line in _lines(locked):
        pin = PIN.fullmatch(line)
        if pin is None:
            lines.append(line)
        elif canonicalize_name(pin[1]) in named:
            lines.append(f"{pin[1]}=={pin[2]}{pin[3] or ''}")
    return lines


def changes(locked: str, resolved: str) -> list[str]:
    """`name former -> new` for each version that gave way."""
    before, after = _versions(locked), _versions(resolved)
    both = sorted(before.keys() & after.keys())
    return [
        f"{name} {before[name]} -> {after[name]}" for name in both if before[name] != after[name]
    ]


def _versions(text: str) -> dict[str, str]:
    """A package that is pinned twice, for two versions of Python, is not compared."""
    found: dict[str, list[str]] = {}
    for line in _lines(text):
        if pin := PIN.fullmatch(line):
            found.setdefault(canonicalize_name(pin[1]), []).append(pin[2])
    return {name: versions[0] for name, versions in found.items() if len(versions) == 1}


def _lines(text: str) -> list[str]:
    lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
