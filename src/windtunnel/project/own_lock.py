"""The versions of windtunnel's own lock for one of the Airflows that it has."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from packaging.markers import Marker

from windtunnel.system import locked_versions

Row = dict[str, Any]
#: The name that uv gives to the group of an older Airflow in the lock's markers.
GROUP = re.compile(r"extra == '(group-\d+-windtunnel-airflow-[\d-]+)'")


def versions(airflow: str, python: str) -> dict[str, str]:
    """name -> version of all that a release of Airflow needs; empty where the lock lacks it.

    Args:
        python: a minor version, such as 3.13.
    """
    rows: dict[str, list[Row]] = {}
    for row in tomllib.loads(locked_versions.text()).get("package", []):
        rows.setdefault(row["name"], []).append(row)
    if airflow not in {row["version"] for row in rows.get("apache-airflow", [])}:
        return {}
    (ourselves,) = rows["windtunnel"]
    # The last patch: a marker may leave out the first ones.
    env = {"python_version": python, "python_full_version": f"{python}.99"}
    env["extra"] = _group(ourselves, airflow)
    found: dict[str, str] = {}
    waiting = [ourselves]
    while waiting:
        for edge in _edges(waiting.pop(), env):
            for row in rows[edge["name"]]:
                fits = edge.get("version", row.get("version")) == row.get("version")
                if fits and row["name"] not in found:
                    found[row["name"]] = row["version"]
                    waiting.append(row)
    return found


def _group(ourselves: Row, airflow: str) -> str:
    """The group of a release in the lock's markers; empty for the newest, which needs none."""
    named = [each for each in ourselves["dependencies"] if each["name"] == "apache-airflow"]
    (edge,) = (each for each in named if each.get("version", airflow) == airflow)
    # A marker of the newest names the groups of the others, beside "!=".
    group = GROUP.match(edge.get("marker", ""))
    return group[1] if group else ""


def _edges(row: Row, env: dict[str, str]) -> list[Row]:
    """What a package needs, with what its extras need: the lock has only extras that are used."""
    lists = [row.get("dependencies", []), *row.get("optional-dependencies", {}).values()]
    edges = [edge for each in lists for edge in each]
    return [edge for edge in edges if "marker" not in edge or Marker(edge["marker"]).evaluate(env)]
