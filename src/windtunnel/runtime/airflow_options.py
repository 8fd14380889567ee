"""Airflow's options without Airflow, for programs that need three of them: importing Airflow costs 1.5 s of processor time.

The order is Airflow's (airflow/_shared/configuration/parser.py): AIRFLOW__SECTION__KEY, AIRFLOW__SECTION__KEY_CMD, the
file's `key`, the file's `key_cmd`, the default. What needs Airflow itself, a secrets backend, is refused: see `OutOfReach`.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class OutOfReach(Exception):
    """This option can only be read by Airflow itself."""


def expand(text: str) -> str:
    """`$NAME` and `~`, until nothing changes, as Airflow's `expand_env_var`."""
    while (new := os.path.expanduser(os.path.expandvars(text))) != text:  # noqa: PTH111
        text = new
    return text


class AirflowOptions:
    """airflow.cfg of AIRFLOW_HOME and the environment.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.env = os.environ if env is None else env
        self.file = configparser.RawConfigParser()
        home = Path(expand(self.env.get("AIRFLOW_HOME") or "~/airflow"))
        self.file.read_string(Path(expand(self.env.get("AIRFLOW_CONFIG") or "") or home / "airflow.cfg").read_text())

    def get(self, section: str, key: str, default: str = "") -> str:
        """The option's text.

        Raises:
            OutOfReach: it is in a secrets backend.
            OSError, subprocess.CalledProcessError: its command failed.
        """
        name = f"AIRFLOW__{section.upper()}__{key.upper()}"
        if name + "_SECRET" in self.env or self.file.has_option(section, key + "_secret"):
            raise OutOfReach(f"[{section}] {key} is in a secrets backend")
        if name in self.env:
            return expand(self.env[name])
        if name + "_CMD" in self.env:
            return self._run(self.env[name + "_CMD"])
        if self.file.has_option(section, key):
            return expand(self.file.get(section, key))
        if self.file.has_option(section, key + "_cmd"):
            return self._run(self.file.get(section, key + "_cmd"))
        return default

    def json(self, section: str, key: str) -> dict[str, Any]:
        """A JSON object; empty where the option is not set. Raises: ValueError, and as `get`."""
        value = json.loads(self.get(section, key) or "{}")
        if not isinstance(value, dict):
            raise ValueError(f"[{section}] {key} is not a JSON object")
        return value

    def section(self, section: str) -> dict[str, Any]:
        """Every option of a section, numbers and booleans converted as Airflow's `getsection` does. Raises: as `get`."""
        prefix = f"AIRFLOW__{section.upper()}__"
        keys = set(self.file.options(section)) if self.file.has_section(section) else set()
        keys |= {name.removeprefix(prefix).lower() for name in self.env if name.startswith(prefix)}
        if any(key.endswith(("_cmd", "_secret")) for key in keys):
            raise OutOfReach(f"[{section}] holds commands or secrets")
        return {key: converted(self.get(section, key)) for key in sorted(keys)}

    def _run(self, command: str) -> str:
        return subprocess.run(shlex.split(command), env=dict(self.env), capture_output=True, text=True, check=True).stdout


def converted(text: str) -> Any:
    """`getsection`'s reading of one value."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"t": True, "true": True, "f": False, "false": False}.get(text.lower(), text)
