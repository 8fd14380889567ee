"""What Airflow's processes take from the project: `project.json` in the state folder.

`windtunnel up` writes it once, so that all processes of a stack see the same, also a worker that
starts an hour later. It may hold secrets of `.env` and airflow.cfg, so its mode is 0600.
Standard library only: each of Airflow's processes reads it at its start.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from windtunnel.variables import proxies

NAME = "project.json"


@dataclass(frozen=True)
class Record:
    """Paths are absolute."""

    root: str
    #: The interpreter of the project's environment.
    python: str
    #: Variables for Airflow's processes only; those of the stack win.
    variables: dict[str, str] = field(default_factory=dict)
    #: Folders in front of site-packages.
    import_path: list[str] = field(default_factory=list)
    #: Folders behind it: a DAG file called redis.py must not replace the package.
    import_last: list[str] = field(default_factory=list)
    #: PYTHONPATH of the programs that a task or a person starts. It comes before the standard
    #: library, so a folder with a file such as types.py is not in it.
    python_path: list[str] = field(default_factory=list)
    #: The files with connections, variables and pools, relative to the root.
    objects: list[str] = field(default_factory=list)
    #: file -> digest of each file that the environment or the variables were made from.
    files: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps({"version": 1, **asdict(self)}, indent=1)


def read(state: Path) -> Record | None:
    """The record; None for a stack without a project, or for a damaged file."""
    try:
        data = json.loads((state / NAME).read_bytes())
        # A stack that another windtunnel started has a record with fewer parts.
        return Record(**{name: data[name] for name in Record.__dataclass_fields__ if name in data})
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def modules(folder: Path) -> set[str]:
    """The names that `import` finds in a folder: files, and packages with an `__init__.py`."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return set()
    files = {name.removesuffix(".py") for name in names if name.endswith(".py")}
    return files | {name for name in names if os.path.isfile(folder / name / "__init__.py")}  # noqa: PTH113


def interpreter(state: Path) -> str:
    """The Python of the stack in a state folder: the project's, else the one that runs now."""
    known = read(state)
    return known.python if known and Path(known.python).exists() else sys.executable


def shadows(folder: Path) -> bool:
    """Whether something in the folder has the name of a module of the standard library."""
    return not sys.stdlib_module_names.isdisjoint(modules(folder))


def digest(path: Path) -> str:
    """A digest of a file's bytes; empty where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def changed(record: Record) -> list[str]:
    """The files that have changed since `up`, relative to the project's folder."""
    root = Path(record.root)
    return [name for name, known in record.files.items() if digest(root / name) != known]


def variables(record: Record, env: Mapping[str, str]) -> dict[str, str]:
    """The project's variables that the environment does not have already.

    Exceptions from a proxy add up.
    """
    found = {name: text for name, text in record.variables.items() if name not in env}
    return found | proxies.bypassed(env, record.variables)


def enter(env: MutableMapping[str, str] = os.environ) -> None:
    """Make this process one of the project's: its variables, import path and working folder.

    The project's folder comes before site-packages, as PYTHONPATH would have it, but behind the
    standard library: a file called types.py must not stop Python. DAG folders come last, as Airflow
    has them.
    """
    state = env.get("WINDTUNNEL_STATE")
    record = read(Path(state)) if state and env.get("WINDTUNNEL_PROJECT") else None
    if record is None:
        return
    env.update(variables(record, env))
    place = next((i for i, path in enumerate(sys.path) if "site-packages" in path), len(sys.path))
    sys.path[place:place] = record.import_path
    sys.path += record.import_last
    if record.python_path:
        env["PYTHONPATH"] = os.pathsep.join(record.python_path)
    os.chdir(record.root)
