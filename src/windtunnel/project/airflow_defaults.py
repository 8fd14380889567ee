"""Airflow's own default of each setting, read from its files: importing Airflow takes seconds.

Sources: in `config_templates`, `config.yml` and the defaults of providers that are not installed;
and `get_provider_info.py` of each provider.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml


def same(text: str, default: str | None) -> bool:
    """Whether a file's text is this default, which has other white space and doubled braces."""
    return default is not None and _plain(text) == _plain(default)


def _plain(text: str) -> list[str]:
    return text.replace("{{", "{").replace("}}", "}").split()


def read() -> dict[tuple[str, str], str]:
    """(section, key) -> the text that Airflow writes into a new airflow.cfg."""
    found = dict(_of_absent_providers())
    for sections in _descriptions():
        for section, description in sections.items():
            for key, option in (description.get("options") or {}).items():
                if option.get("default") is not None:
                    found[section.lower(), key.lower()] = str(option["default"])
    return found


def _descriptions() -> Iterator[dict[str, Any]]:
    for place in _places():
        file = place / "config_templates" / "config.yml"
        if file.is_file():
            # The loader in C takes 0.03 s, and the one in Python half a second.
            yield yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        # No `**`: it passes by folders that are symlinks, as in an environment of Nix.
        for pattern in ("providers/*/get_provider_info.py", "providers/*/*/get_provider_info.py"):
            for name in place.glob(pattern):
                yield _provider(name.read_text()).get("config") or {}


def _of_absent_providers() -> Iterator[tuple[tuple[str, str], str]]:
    parser = configparser.RawConfigParser(strict=False)
    for place in _places():
        parser.read(place / "config_templates" / "provider_config_fallback_defaults.cfg")
    for section in parser.sections():
        for key, text in parser.items(section):
            yield (section.lower(), key.lower()), text


def _places() -> list[Path]:
    spec = find_spec("airflow")
    return [Path(each) for each in spec.submodule_search_locations or []] if spec else []


def _provider(text: str) -> dict[str, Any]:
    """The dictionary that the file's one function returns."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Return) and node.value is not None:
            return dict(ast.literal_eval(node.value))
    return {}
