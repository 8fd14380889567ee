"""Reads Airflow's options without Airflow, whose import costs 1.5 s of processor time.

The order is Airflow's (airflow/_shared/configuration/parser.py): AIRFLOW__SECTION__KEY,
AIRFLOW__SECTION__KEY_CMD, the file's `key`, the file's `key_cmd`, the default. An option in a
secrets backend needs Airflow itself and raises `OutOfReach`.

Read a second way for two processes that load no Airflow: Flower, and the reconciler, which must
start before Airflow does. A test compares the results with Airflow's own.
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
    """Expands `$NAME` and `~` until nothing changes, as Airflow's `expand_env_var`."""
    while True:
        expanded = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111
        if expanded == text:
            return text
        text = expanded


class AirflowOptions:
    """The options in the environment and in airflow.cfg of AIRFLOW_HOME.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.env = os.environ if env is None else env
        self.file = configparser.RawConfigParser()
        home = Path(expand(self.env.get("AIRFLOW_HOME") or "~/airflow"))
        path = expand(self.env.get("AIRFLOW_CONFIG") or "") or home / "airflow.cfg"
        self.file.read_string(Path(path).read_text())

    def get(self, section: str, key: str, default: str = "") -> str:
        """The option's text.

        Raises:
            OutOfReach: the option is in a secrets backend.
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
        """A JSON object; empty if the option is not set. Raises: ValueError, and as `get`."""
        value = json.loads(self.get(section, key) or "{}")
        if not isinstance(value, dict):
            raise ValueError(f"[{section}] {key} is not a JSON object")
        return value

    def section(self, section: str) -> dict[str, Any]:
        """Every option of a section.

        Numbers and booleans are converted as Airflow's `getsection` does. Raises: as `get`.
        """
        prefix = f"AIRFLOW__{section.upper()}__"
        keys = set(self.file.options(section)) if self.file.has_section(section) else set()
        keys |= {name.removeprefix(prefix).lower() for name in self.env if name.startswith(prefix)}
        if any(key.endswith(("_cmd", "_secret")) for key in keys):
            raise OutOfReach(f"[{section}] holds commands or secrets")
        return {key: converted(self.get(section, key)) for key in sorted(keys)}

    def _run(self, command: str) -> str:
        done = subprocess.run(
            shlex.split(command),
            env=dict(self.env),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def converted(text: str) -> Any:
    """One value as `getsection` converts it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"t": True, "true": True, "f": False, "false": False}.get(text.lower(), text)
