"""uv.lock of windtunnel itself: the versions that were tested together.

Standard library only: it may run before anything is installed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def text() -> str:
    """uv.lock of this checkout, else the copy that an installed windtunnel has in its metadata."""
    checkout = Path(__file__).resolve().parents[3] / "uv.lock"
    if checkout.is_file():
        return checkout.read_text()
    from importlib.metadata import distribution

    return distribution("windtunnel").read_text("extra_metadata/uv.lock") or ""


def package(lock: str, name: str) -> dict[str, Any]:
    """One package's table. Only its own block is parsed: the whole lock takes tomllib a second."""
    _, _, rest = lock.partition(f'[[package]]\nname = "{name}"\n')
    return tomllib.loads(rest.partition("[[package]]")[0])
