"""The files that a project gives to Airflow: settings, objects for its database, a module."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from windtunnel.project import airflow_defaults, owned
from windtunnel.project.compose import HOMES
from windtunnel.project.folder import Folder, clean, listed
from windtunnel.project.parsing import mapping, read_json, read_yaml, scalar

SETTINGS = ("config/airflow.cfg", "airflow.cfg")
LOCAL_SETTINGS = ("config/airflow_local_settings.py", "airflow_local_settings.py")
#: The file of Astronomer's command line.
ASTRONOMER = "airflow_settings.yaml"
#: Options in a file; the official compose file's container writes one with about 400.
MOST_WRITTEN_BY_HAND = 150
NAME = re.compile(r"[\w.-]+")
KINDS = ("connections", "variables", "pools")
FOLDERS = ("", "config/")
ENDINGS = ("json", "yaml", "yml", "env")


@dataclass(frozen=True)
class Objects:
    """The names of the objects in one file, never their values."""

    file: str
    connections: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    pools: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """The options in an airflow.cfg that are taken over ours, as `section.key`."""

    file: str
    taken: list[str]
    #: The same as Airflow's variables, with their values, which may be secrets.
    variables: dict[str, str] = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """What may be printed: no values."""
        return {"file": self.file, "taken": self.taken}


def options(folder: Folder) -> Options | None:
    """The project's airflow.cfg. Each option that the stack owns is a remark."""
    name = next((name for name in SETTINGS if folder.has_file(name)), None)
    text = folder.read(name) if name else None
    if name is None or text is None:
        return None
    # As Airflow reads it: `%%` is one `%`.
    parser = configparser.ConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error:
        folder.remark(name, "is not a valid airflow.cfg and was not used", "correct it")
        return None
    found = [(section, key) for section in parser.sections() for key in parser.options(section)]
    # A file that Airflow wrote says everything, and means only what a person changed in it.
    defaults = airflow_defaults.read() if len(found) > MOST_WRITTEN_BY_HAND else {}
    taken = []
    variables = {}
    refused = []
    for section, key in found:
        if airflow_defaults.same(parser.get(section, key, raw=True), defaults.get((section, key))):
            continue
        variable = f"AIRFLOW__{section}__{key}".upper().replace(".", "_")
        if owned.option(section, key):
            refused.append(f"[{section}] {key}")
        elif (value := _value(folder, name, parser, section, key)) is not None:
            taken.append(clean(f"{section}.{key}"))
            variables[variable] = value
    if defaults and refused:
        fault = f"the stack has its own {listed(refused)}"
        folder.remark(name, fault, "keep in this file what you changed, and nothing else")
    else:
        for shown in refused:
            folder.remark(
                name, f"{clean(shown)} is the stack's own and is not taken", "take it out"
            )
    return Options(name, taken, variables)


def _value(
    folder: Folder, name: str, parser: configparser.ConfigParser, section: str, key: str
) -> str | None:
    """The value of an option; None for a remark."""
    shown = f"[{clean(section)}] {clean(key)}"
    if not NAME.fullmatch(section + key):
        folder.remark(name, f"{shown} is no name of a setting", "take it out")
        return None
    try:
        value = parser.get(section, key)
    except configparser.Error:
        fault = f"{shown} has a % that is not doubled, and is not taken"
        folder.remark(name, fault, "write %% for each %")
        return None
    if value.startswith(HOMES):
        fault = f"{shown} is a path in a container, and is not taken"
        folder.remark(name, fault, "take it out, or write a path of this machine")
        return None
    return value


def local_settings(folder: Folder) -> str | None:
    """The module that Airflow imports at its start; it is found, not run."""
    return next((name for name in LOCAL_SETTINGS if folder.has_file(name)), None)


def objects(folder: Folder) -> list[Objects]:
    """Every file with connections, variables or pools that holds at least one."""
    found = [_astronomer(folder)]
    for place in FOLDERS:
        for kind in KINDS:
            for ending in ENDINGS:
                name = f"{place}{kind}.{ending}"
                names = sorted(_exported(folder, name, ending)) if folder.has_file(name) else []
                found.append(Objects(name, **{kind: names}))
    return [each for each in found if each.connections or each.variables or each.pools]


def _exported(folder: Folder, name: str, ending: str) -> Iterator[str]:
    """The names in a file that `airflow connections export` and its like write."""
    if ending == "env":
        for line in (folder.read(name) or "").splitlines():
            key, equals, _ = line.partition("=")
            if equals and not key.lstrip().startswith("#"):
                yield clean(key.strip())
        return
    read = read_json if ending == "json" else read_yaml
    yield from (clean(key) for key in read(folder, name))


def _astronomer(folder: Folder) -> Objects:
    """`airflow_settings.yaml`; its template has entries without a name, which are none."""
    airflow = mapping(read_yaml(folder, ASTRONOMER).get("airflow"))
    return Objects(
        ASTRONOMER,
        connections=_names(airflow.get("connections"), "conn_id"),
        variables=_names(airflow.get("variables"), "variable_name"),
        pools=_names(airflow.get("pools"), "pool_name"),
    )


def _names(rows: Any, key: str) -> list[str]:
    found = [mapping(row).get(key) for row in rows] if isinstance(rows, list) else []
    return [clean(scalar(name)) for name in found if scalar(name)]
