"""What ruff's rules for Airflow's deprecations find in DAG files, where there is a ruff.

They read the text, so they also see what runs only in a task. `# noqa: AIR311` silences one.
Source: docs.astral.sh/ruff/rules/#airflow-air.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windtunnel.check.report import Finding

#: Those about Airflow 3: what is removed, moved, or still works and will be removed.
RULES = "AIR3"
#: It takes some 0.1 s.
RUFF_SECONDS = 30.0
#: Files of one call: a command line has a limit.
MOST_FILES = 500
NAME = re.compile(r"`([\w.]+)`")


def program(python: str, path: str) -> str | None:
    """The ruff of the project's environment, else that of PATH."""
    return shutil.which(str(Path(python).with_name("ruff"))) or shutil.which("ruff", path=path)


def find(ruff: str | None, files: Sequence[Path]) -> dict[Path, list[dict[str, Any]]]:
    """File -> what ruff says about it: `code`, `message`, `line`; each name once."""
    found: dict[Path, dict[tuple[str, str], dict[str, Any]]] = {}
    if ruff is None:
        return {}
    for first in range(0, len(files), MOST_FILES):
        for each in _said(ruff, files[first : first + MOST_FILES]):
            code, message = str(each.get("code")), str(each.get("message"))
            # Of a file that is no Python it says only that.
            if code.startswith(RULES):
                line = int((each.get("location") or {}).get("row") or 0)
                said = {"code": code, "message": message, "line": line}
                found.setdefault(Path(str(each["filename"])), {}).setdefault((code, message), said)
    return {file: list(lines.values()) for file, lines in found.items()}


def findings(said: list[dict[str, Any]], name: str, known: list[Finding]) -> list[Finding]:
    """The same as findings, without what Airflow itself has warned of.

    Args:
        name: of the file, for people.
    """
    texts = [each.message for each in known if each.kind == "deprecation"]
    new = []
    for each in said:
        names = NAME.findall(each["message"])
        if not any(names and f"`{names[0]}`" in text for text in texts):
            text = f"{each['code']}: {each['message']}"
            new.append(Finding("warning", "deprecation", text, name, each["line"] or None))
    return new


def _said(ruff: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Nothing where ruff fails: an old one has no such rules."""
    command = [ruff, "check", "--isolated", "--no-cache", "--exit-zero", "--select", RULES]
    command += ["--output-format", "json", "--", *map(str, files)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUFF_SECONDS
        )
        data = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
