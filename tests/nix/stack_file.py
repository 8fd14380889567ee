"""process-compose.yaml as process-compose reads it on a machine where nothing is exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.nix.harness import ROOT

_DEFAULT = re.compile(r"\$\{(\w+):-((?:[^{}]|\$\{[^}]*\})*)\}")


def expand(text: str, variables: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME}` as process-compose (drone/envsubst) expands them; `$${…}` stays for the shell."""
    text = text.replace("$${", "\0{")
    while match := _DEFAULT.search(text):
        text = text[: match.start()] + (variables.get(match[1]) or match[2]) + text[match.end() :]
    text = re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m[1], ""), text)
    return text.replace("\0{", "${")


def load(root: Path = ROOT) -> dict[str, Any]:
    """The file with its variables expanded."""
    data: dict[str, Any] = yaml.safe_load(
        expand((root / "process-compose.yaml").read_text(), {"PWD": str(root)})
    )
    return data


def environment(stack: dict[str, Any], process: str) -> dict[str, str]:
    """What the file gives one process: the common variables, then its own."""
    lines = [*stack["environment"], *stack["processes"][process].get("environment", [])]
    return dict(line.split("=", 1) for line in lines)
