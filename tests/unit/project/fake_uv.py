"""A `uv` that plays the making of an environment, in milliseconds."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

#: Makes an environment that has the packages of this one, and notes each call. The one that BROKEN names fails,
#: and so does an installation of what EXCLUDED names.
UV = """#!/bin/sh
echo "$*" >>"$CALLS"
[ "$BROKEN" != "$1" ] || { echo "$1 has failed" >&2; exit 2; }
sleep "${SLOW:-0}"
for last; do :; done
case "$1" in
  venv)
    mkdir -p "$last/bin" "$last/lib/python3.MINOR/site-packages${ELSEWHERE-/airflow}"
    ln -s "PYTHON" "$last/bin/python"
    echo "PACKAGES" >"$last/lib/python3.MINOR/site-packages/packages.pth"
    echo >"$last/pyvenv.cfg" ;;
  export) printf 'emoji==2.14.0\nredis==7.1.0\n' >"$last" ;;
  pip)
    case "$2" in
      install) [ -z "$EXCLUDED" ] || ! grep "$EXCLUDED" "$4/locked.txt" >&2 || exit 2 ;;
      compile) printf 'emoji==2.14.0\nredis==6.4.0\n' >"$9" ;;
    esac ;;
esac
"""


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a shell script in the place of uv; returns the file for its calls, an empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "uv"
    program.write_text(script)
    program.chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    monkeypatch.setenv("UV", str(program))
    monkeypatch.setenv("CALLS", str(calls))
    return calls


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it in front; returns the file with its calls."""
    words = {
        "PYTHON": sys.executable,
        "PACKAGES": sysconfig.get_path("purelib"),
        "MINOR": str(sys.version_info.minor),
    }
    text = UV
    for word, value in words.items():
        text = text.replace(word, value)
    calls = play(folder, monkeypatch, text)
    # The published constraints come from a network.
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(folder / "cache"))
    return calls
