"""A page is one file without scripts that loads nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from windtunnel.errors import UsageError

PARTS = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """The page of a template that may import and include what lies in this folder."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, PARTS]),
        # Everything is escaped. The files' ending would switch that off.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"clock": clock, "href": quote}
    return environment.get_template(template.name).render(values)


def write(target: Path, text: str) -> None:
    """Write the file anew. A reader sees the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    target = target.resolve()
    new = _beside(target)
    new.write_text(text, errors="backslashreplace")
    new.replace(target)


def require_writable(option: str, file: Path) -> None:
    """Refuse a file that could not be written at the end of minutes of work.

    Raises:
        UsageError: it is a folder, its folder is missing, or we may not write there.
    """
    step = "name a file in a folder that exists and that you can write"
    try:
        reason = _trouble(file.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise UsageError(f"{option}: {file} cannot be written ({reason}): {step}")


def _trouble(file: Path) -> str:
    if file.is_symlink():
        return "it is a link in a circle"  # before Python 3.13, resolving it raises an error
    if file.is_dir():
        return "it is a folder"
    if file.exists() and not file.is_file():
        return "it is no regular file"
    if not file.parent.is_dir():
        return f"{file.parent} is no folder"
    # Asking for the right would say nothing about a file system that is read-only.
    probe = _beside(file)
    probe.touch()
    probe.unlink()
    return ""


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}.new")


def clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 10)}"


def now(when: float | None = None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(when))
