"""Version skew: a worker reports that its packages or DAG files differ from the scheduler's.

Without it a person sees only a puzzling import error. The scheduler stamps each message with its
own versions, and with a digest of the DAG file on its host. The worker compares when it begins the
task. It writes a difference to the task's log and to its own, and records it for
`windtunnel status`. The task runs all the same: a difference may not matter, and during a rollout
there is one for a while.
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

from windtunnel.runtime import airflow_conf
from windtunnel.system import procfs

#: Message header. Celery passes headers on to the task's request.
HEADER = "windtunnel_runs_on"
#: Airflow's bundle for `[core] dags_folder`; other bundles carry versions of their own.
LOCAL_BUNDLE = "dags-folder"
PACKAGES = "packages"


@cache
def packages() -> str:
    """The packages that this process can import, in a few words.

    For example `Python 3.11.7, Airflow 3.3.2, 312 packages (5f3a09c1d2e4)`. It reads the names of
    the `.dist-info` folders on sys.path, as importlib.metadata does.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = [e.name for e in Path(folder or ".").iterdir() if e.suffix == ".dist-info"]
        except OSError:
            continue
        for entry in sorted(entry.removesuffix(".dist-info") for entry in entries):
            name, _, version = entry.rpartition("-")
            # Python imports the first one on the path.
            found.setdefault(name.lower().replace("_", "-"), version)
    text = "\n".join(f"{name} {version}" for name, version in sorted(found.items()))
    airflow = found.get("apache-airflow", "unknown")
    python = platform.python_version()
    digest = _digest(text.encode())
    return f"Python {python}, Airflow {airflow}, {len(found)} packages ({digest})"


@cache
def host() -> str:
    """Names a machine, or a container on it: equal for processes that see the same files."""
    return f"{socket.gethostname()} {procfs.boot_id()}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


@lru_cache(maxsize=4096)
def _file_digest(path: Path, _size: int, _changed: int) -> str:
    return _digest(path.read_bytes())


def dag_file(folder: str, task: Mapping[str, Any]) -> str | None:
    """Digest of a task's DAG file below the DAG folder; None if it is no local file, or missing."""
    bundle = task.get("bundle_info") or {}
    if bundle.get("name") != LOCAL_BUNDLE or not task.get("dag_rel_path"):
        return None
    path = Path(folder, str(task["dag_rel_path"]))
    try:
        info = path.stat()
        return _file_digest(path, info.st_size, info.st_mtime_ns)
    except OSError:
        return None


def _dags_folder() -> str:
    return str(airflow_conf.conf().get("core", "dags_folder"))


def workload(arguments: Any) -> dict[str, Any]:
    """The Airflow workload in a Celery task's arguments; empty if there is none."""
    try:
        data = json.loads(arguments[0])
    except (ValueError, TypeError, LookupError):
        return {}
    return data if isinstance(data, dict) else {}


def stamp(headers: Any = None, body: Any = None, **_: Any) -> None:
    """Receiver of `before_task_publish`, in the scheduler."""
    if isinstance(headers, MutableMapping) and isinstance(body, Sequence) and body:
        digest = dag_file(_dags_folder(), workload(body[0]))
        headers[HEADER] = {PACKAGES: packages(), "host": host(), "dag_file": digest}


def differences(theirs: Any, task: Mapping[str, Any]) -> dict[str, str | None]:
    """The differences from the scheduler, by subject: `packages`, or the DAG file's path.

    A subject that was compared and is the same has None.

    Args:
        theirs: the stamp of a message. Anything but a stamp gives an empty result.
        task: Airflow's workload.
    """
    if not isinstance(theirs, Mapping) or PACKAGES not in theirs:
        return {}
    found: dict[str, str | None] = {PACKAGES: None}
    if theirs[PACKAGES] != packages():
        found[PACKAGES] = f"this worker runs on {packages()}, the scheduler on {theirs[PACKAGES]}"
    # On one host the scheduler read this very file: a difference means that it was edited since.
    if theirs.get("host") != host() and theirs.get("dag_file"):
        name = str(task.get("dag_rel_path"))
        mine = dag_file(_dags_folder(), task)
        found[name] = None
        if mine is None:
            found[name] = f"the DAG file {name} is missing on this worker's host"
        elif mine != theirs["dag_file"]:
            found[name] = f"the DAG file {name} on this worker's host differs from the scheduler's"
    return found
