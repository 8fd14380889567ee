"""The packages of `pyproject.toml` and of uv's lock."""

from __future__ import annotations

from typing import Any

from windtunnel.project import claims
from windtunnel.project.claims import AIRFLOW, PYPROJECT, Claim, Packages
from windtunnel.project.folder import Folder
from windtunnel.project.parsing import LOCK_LIMIT, mapping, read_toml, scalar, texts

LOCK = "uv.lock"


def read_lock(folder: Folder, found: Packages) -> None:
    """Adds the versions that the lock pins."""
    tables = read_toml(folder, LOCK, LOCK_LIMIT)
    if not tables:
        return
    found.lock = LOCK
    if not folder.has_file(PYPROJECT):
        folder.remark(LOCK, "is of no use without pyproject.toml", "add pyproject.toml")
    packages = tables.get("package")
    rows = [mapping(row) for row in packages] if isinstance(packages, list) else []
    for name in AIRFLOW:
        versions = sorted({scalar(row.get("version")) for row in rows if row.get("name") == name})
        known = [version for version in versions if claims.specifier(f"=={version}") is not None]
        if len(known) > 1 and tables.get("conflicts"):
            break  # Groups choose among them, or none does.
        if len(known) > 1:
            fault = f"pins {name} more than once ({', '.join(known[:5])})"
            folder.remark(LOCK, fault, "pin one of them in requirements.txt")
        elif known:
            found.airflow.append(Claim(f"=={known[0]}", LOCK))
            break
    if isinstance(wanted := tables.get("requires-python"), str):
        claims.add_python(found, wanted, LOCK)


def read(folder: Folder, found: Packages) -> None:
    """Adds the dependencies of the project and of its groups."""
    tables = read_toml(folder, PYPROJECT)
    project = mapping(tables.get("project"))
    groups = mapping(tables.get("dependency-groups"))
    uv = mapping(mapping(tables.get("tool")).get("uv"))
    if mapping(mapping(tables.get("tool")).get("poetry")).get("dependencies"):
        fault = "the dependencies of [tool.poetry] are not read"
        folder.remark(PYPROJECT, fault, "move them to [project], or export requirements.txt")
    if uv.get("sources") and not found.lock:
        fault = "[tool.uv.sources] is not read without uv.lock"
        folder.remark(PYPROJECT, fault, "write the lock with `uv lock`")
    if not project and not groups:
        return
    found.files.append(PYPROJECT)
    if isinstance(wanted := project.get("requires-python"), str):
        # Stronger than the lock's copy of it.
        python = list(found.python)
        found.python.clear()
        claims.add_python(found, wanted, PYPROJECT)
        found.python += python
    lines = texts(project.get("dependencies"))
    faulty = [line for line in lines if not claims.add(found, line, PYPROJECT)]
    apart = _exclude_each_other(uv)
    ours = [line for name, group in groups.items() if name not in apart for line in texts(group)]
    faulty += [line for line in ours if not claims.add(found, line, PYPROJECT, development=True)]
    if faulty:
        fault = f"{len(faulty)} dependencies are no requirements and were left out"
        folder.remark(PYPROJECT, fault, "correct them")


def _exclude_each_other(uv: dict[str, Any]) -> set[str]:
    """The groups of which at most one counts (`conflicts`): none of them says what is wanted."""
    sets = uv.get("conflicts")
    rows = (
        [row for each in sets if isinstance(each, list) for row in each]
        if isinstance(sets, list)
        else []
    )
    return {scalar(mapping(row).get("group")) for row in rows} - {""}
