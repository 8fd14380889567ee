"""Parses YAML, TOML and JSON of strangers: a fault is a remark, and no text can take all memory."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import yaml

from windtunnel.project.folder import TEXT_LIMIT, Folder

#: Bytes. PyYAML in Python reads some 100 KiB a second.
YAML_LIMIT = 256 * 1024
#: Bytes. uv.lock of a project with many providers of Airflow has 1 to 2 MiB.
LOCK_LIMIT = 4 * 1024 * 1024
#: Aliases in one file, and keys of one mapping after its merges (`<<`). Without a bound, nine lines
#: of merges multiply to 10^9 keys.
MOST_ALIASES = 500
MOST_KEYS = 2000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with bounds; it reads a tag of another program as a plain value."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise yaml.YAMLError(f"more than {MOST_ALIASES} aliases")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise yaml.YAMLError(f"more than {MOST_KEYS} keys in one mapping")


def _plain(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    """The value behind a tag such as compose's `!reset`."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_Loader.add_multi_constructor("!", _plain)


def read_yaml(folder: Folder, name: str) -> dict[str, Any]:
    """The mapping in a YAML file; empty when there is none, or when the file is a remark."""
    text = folder.read(name, YAML_LIMIT)
    if text is None:
        return {}
    try:
        # A subclass of the safe loader: it makes plain values only.
        value = yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        folder.remark(name, "is not valid YAML and was not used", "correct it")
        return {}
    return _mapping(folder, name, value)


def read_json(folder: Folder, name: str) -> dict[str, Any]:
    """The object in a JSON file; empty when there is none, or when the file is a remark."""
    text = folder.read(name)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        folder.remark(name, "is not valid JSON and was not used", "correct it")
        return {}
    return _mapping(folder, name, value)


def read_toml(folder: Folder, name: str, limit: int = TEXT_LIMIT) -> dict[str, Any]:
    """The tables of a TOML file; empty when there is none, or when the file is a remark."""
    text = folder.read(name, limit)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        folder.remark(name, "is not valid TOML and was not used", "correct it")
        return {}


def _mapping(folder: Folder, name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return mapping(value)
    if value is not None:
        folder.remark(name, "holds no mapping and was not used", "correct it")
    return {}


def mapping(value: Any) -> dict[str, Any]:
    """A value that should be a mapping; empty when it is something else."""
    return {scalar(key): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def scalar(value: Any) -> str:
    """A text, number or truth value as a text; empty for anything else.

    The text of a list could be endless: YAML's aliases let a list hold another one many times.
    """
    if not isinstance(value, str | int | float):
        return ""
    try:
        return str(value)
    except ValueError:
        # Python writes no integer of more than 4300 digits.
        return ""


def texts(value: Any) -> list[str]:
    """The texts in a value that should be a list of texts."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
