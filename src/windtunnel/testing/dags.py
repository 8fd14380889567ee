"""Waiting until Airflow has read a DAG file as it is now."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from windtunnel.clients.airflow import Airflow, moment
from windtunnel.errors import UsageError
from windtunnel.project import record
from windtunnel.settings import Settings
from windtunnel.stack.run_dag import PARSE_SECONDS, no_dag
from windtunnel.system.waiting import wait_for
from windtunnel.testing import impatience, imports
from windtunnel.testing.runs import POLL_SECONDS


def wait_until_read(
    settings: Settings, airflow: Airflow, dag_id: str, since: float, timeout: float
) -> None:
    """Return when the DAG can be triggered in the version that its file has now.

    Args:
        since: when the stack was ready, in Unix seconds: its first look at the files takes a while.

    Raises:
        AssertionError: the file cannot be imported, or it was not read in `timeout` seconds.
        WindtunnelError: there is no such DAG, or it is paused.
    """
    __tracebackhide__ = True
    folders = folders_of(settings)
    reader = impatience.Reader(settings, airflow)
    asked = time.time()
    known = record.read(settings.state)
    path = [*map(Path, [*known.import_path, *known.import_last])] if known else folders

    @cache
    def changed(file: Path | None) -> float:
        """When it was changed, or a module of the project that it needs."""
        files = imports.files_of(file, path) if file else []
        return max((_changed(each, asked) for each in files), default=0.0)

    def read() -> bool:
        __tracebackhide__ = True
        dag = airflow.dag(dag_id)
        file = _file(folders, str(dag.get("relative_fileloc") or "") if dag else "")
        for name, trace, when in airflow.import_traces():
            found = _file(folders, name)
            is_meant = file == found if file else Path(name).stem == dag_id
            # A person may have corrected the file since, or a module that it needs.
            if is_meant and (moment(when) or 0.0) >= changed(found):
                raise AssertionError(f"{name} cannot be imported:\n{trace}")
        if dag is None or dag.get("is_stale"):
            if time.time() > max(since, min(_newest(folders), asked)) + PARSE_SECONDS:
                raise no_dag(airflow, dag_id, ", ".join(map(str, folders)))
            if dag:
                reader.ask(dag)
            return False
        # The time is that of the end: what has begun before the change has read the former text.
        began = (moment(dag.get("last_parsed_time")) or 0.0) - (dag.get("last_parse_duration") or 0)
        if began < changed(file):
            reader.ask(dag)
            return False
        if not reader.has_read(dag):
            return False
        if dag["is_paused"]:
            raise UsageError(f'{dag_id} is paused, its runs would wait: `unpause("{dag_id}")`')
        return True

    if not wait_for(read, timeout, POLL_SECONDS):
        fault = f"Airflow has not read the file of {dag_id} after {timeout:.0f} s"
        raise AssertionError(fault + reader.hint)


def folders_of(settings: Settings) -> list[Path]:
    """The folders that the stack reads DAG files from."""
    known = record.read(settings.state)
    text = known.variables.get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST") if known else None
    if text:
        return [Path(bundle["kwargs"]["path"]) for bundle in json.loads(text)]
    return [settings.dags]


def _file(folders: list[Path], name: str) -> Path | None:
    paths = [folder / name for folder in folders if name]
    return next((path for path in paths if path.exists()), None)


def _changed(file: Path, now: float) -> float:
    """When a file was changed; one of a copy or of another clock may be from the future."""
    with suppress(OSError):
        return min(file.stat().st_mtime, now)
    return 0.0


def _newest(folders: list[Path]) -> float:
    """The time of the newest DAG file. Emacs marks an open file by a link that leads nowhere."""
    found = (path for folder in folders for path in folder.rglob("*.py"))
    return max((_changed(path, math.inf) for path in found), default=0.0)
