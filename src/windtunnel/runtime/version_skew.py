"""Version skew: a worker whose packages or DAG files differ from the scheduler's says so, in place of a puzzling import error.

The scheduler stamps each message with what it runs on, and with a digest of the DAG file as its host has it. The worker compares
when it begins the task, tells the task's log and its own, and leaves a note for `windtunnel status`. The task runs all the same:
a difference need not matter, and a rollout has one for a while.
"""

from __future__ import annotations

import hashlib
import json
import platform
import socket
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from windtunnel.system import procfs

#: Message header; Celery hands headers on to the task's request.
HEADER = "windtunnel_runs_on"
#: Airflow's bundle for `[core] dags_folder`; other bundles carry versions of their own.
LOCAL_BUNDLE = "dags-folder"
PACKAGES = "packages"


@cache
def packages() -> str:
    """What this process can import, in a few words: `Python 3.11.7, Airflow 3.3.2, 312 packages (5f3a09c1d2e4)`.

    Read from the names of the `.dist-info` folders on sys.path, as importlib.metadata does it.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = sorted(entry.name.removesuffix(".dist-info") for entry in Path(folder or ".").iterdir() if entry.suffix == ".dist-info")
        except OSError:
            continue
        for name, _, version in (entry.rpartition("-") for entry in names):
            found.setdefault(name.lower().replace("_", "-"), version)  # the first one on the path is imported
    text = "\n".join(f"{name} {version}" for name, version in sorted(found.items()))
    airflow = found.get("apache-airflow", "unknown")
    return f"Python {platform.python_version()}, Airflow {airflow}, {len(found)} packages ({_digest(text.encode())})"


@cache
def host() -> str:
    """A machine, or what has a name of its own on one; the same for processes that see the same files."""
    return f"{socket.gethostname()} {procfs.boot_id()}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


@lru_cache(maxsize=4096)
def _file_digest(path: Path, _size: int, _changed: int) -> str:
    return _digest(path.read_bytes())


def dag_file(folder: str, task: Mapping[str, Any]) -> str | None:
    """Digest of a task's DAG file below the DAG folder; None where it is not a local file, or not there."""
    if (task.get("bundle_info") or {}).get("name") != LOCAL_BUNDLE or not task.get("dag_rel_path"):
        return None
    path = Path(folder, str(task["dag_rel_path"]))
    try:
        info = path.stat()
        return _file_digest(path, info.st_size, info.st_mtime_ns)
    except OSError:
        return None


def _dags_folder() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("core", "dags_folder"))


def workload(arguments: Any) -> dict[str, Any]:
    """The Airflow workload in a Celery task's arguments; empty where there is none."""
    try:
        data = json.loads(arguments[0])
    except (ValueError, TypeError, LookupError):
        return {}
    return data if isinstance(data, dict) else {}


def stamp(headers: Any = None, body: Any = None, **_: Any) -> None:
    """Receiver of `before_task_publish`, in the scheduler."""
    if isinstance(headers, MutableMapping) and isinstance(body, Sequence) and body:
        headers[HEADER] = {PACKAGES: packages(), "host": host(), "dag_file": dag_file(_dags_folder(), workload(body[0]))}


def differences(theirs: Any, task: Mapping[str, Any]) -> dict[str, str | None]:
    """What was compared with the scheduler's, by subject (`packages`, or the DAG file's path): None where it is the same.

    Args:
        theirs: the stamp of a message; anything else than a stamp compares nothing.
        task: Airflow's workload.
    """
    if not isinstance(theirs, Mapping) or PACKAGES not in theirs:
        return {}
    same_packages = theirs[PACKAGES] == packages()
    found: dict[str, str | None] = {
        PACKAGES: None if same_packages else f"this worker runs on {packages()}, the scheduler on {theirs[PACKAGES]}"
    }
    # On one host the scheduler saw this very file: it was edited since, which is nobody's mistake.
    if theirs.get("host") != host() and theirs.get("dag_file"):
        name = str(task.get("dag_rel_path"))
        mine = dag_file(_dags_folder(), task)
        have = "is missing on this worker's host" if mine is None else "on this worker's host differs from the scheduler's"
        found[name] = None if mine == theirs["dag_file"] else f"the DAG file {name} {have}"
    return found
