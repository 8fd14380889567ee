"""A patch of the DAG processor: an idle one asks the database after a notification."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from windtunnel.patches.base import LOOK_SECONDS, Unfit, parameters, postgresql_url
from windtunnel.patches.registry import Replacements, patch

#: Seconds. How often the DAG processor tidies: stale warnings, DAGs of files long gone.
TIDY_SECONDS = 60.0
#: At most this share of a core is for reading all files of the DAG folder although no directory has
#: changed, and for tidying.
SHARE = 0.005
#: The same while directories change all the time (a package is being installed).
#: A new file waits no longer than SEEN_SECONDS.
BUSY_SHARE = 0.1
SEEN_SECONDS = 5.0

MANAGER = "airflow.dag_processing.manager:DagFileProcessorManager"


@patch(
    "speed",
    f"{MANAGER}.fetch_callbacks",
    f"{MANAGER}.claim_priority_files",
    f"{MANAGER}.purge_inactive_dag_warnings",
    f"{MANAGER}._refresh_dag_bundles",
    tested="apache-airflow 3.3",
    components=("dag-processor",),
)
def files_when_notified() -> Replacements:
    """The DAG processor asks the database for callbacks and requests only when there are some.

    It tidies the database when files came or went.

    Cause: `_run_parsing_loop` makes three transactions in each of its rounds, two rounds a second.
    It makes about twelve more each time it looks for new files (`bundle_refresh_check_interval`):
    1.3 % of a core here, and half as much in PostgreSQL. Ours: the database notifies of callbacks
    and requests. A refresh that finds the files of the last one ends there, for a minute at most.
    Bundles other than folders are refreshed as upstream does it.
    """
    from airflow.dag_processing.bundles.local import LocalDagBundle
    from airflow.dag_processing.manager import DagFileProcessorManager as Manager
    from airflow.utils.file import list_py_file_paths

    steps = {
        "fetch_callbacks": ["self"],
        "claim_priority_files": ["self"],
        "purge_inactive_dag_warnings": ["self"],
        "_refresh_dag_bundles": ["self", "known_files"],
    }
    fits = all(parameters(getattr(Manager, step)) == names for step, names in steps.items())
    fits = fits and parameters(list_py_file_paths)[:2] == ["directory", "safe_mode"]
    if not fits:
        raise Unfit("DagFileProcessorManager looks different")
    url = postgresql_url()
    from windtunnel.services.database_notify import FILES, Listener, Subscription
    from windtunnel.system.folder_watch import FolderWatch

    listener = Listener(url, FILES, "dag-processor")
    callbacks = Subscription(listener, LOOK_SECONDS)
    requests = Subscription(listener, LOOK_SECONDS)
    fetch, claim = Manager.fetch_callbacks, Manager.claim_priority_files
    purge, refresh = Manager.purge_inactive_dag_warnings, Manager._refresh_dag_bundles
    purged = looked = refresh_due = soonest = latest = -float("inf")
    moved = True
    watches: dict[str, FolderWatch] = {}

    @functools.wraps(fetch)
    def fetch_callbacks(self: Any) -> Any:
        if not callbacks.is_due():
            return []
        found = fetch(self)
        if found:
            callbacks.again()  # it takes no more than max_callbacks_per_loop
        return found

    @functools.wraps(claim)
    def claim_priority_files(self: Any) -> Any:
        return claim(self) if requests.is_due() else []

    @functools.wraps(purge)
    def purge_inactive_dag_warnings(self: Any) -> None:
        nonlocal purged
        if time.monotonic() - purged >= TIDY_SECONDS:
            purged = time.monotonic()
            purge(self)

    def local(self: Any) -> bool:
        for bundle in self._dag_bundles:
            if type(bundle) is not LocalDagBundle or not bundle.is_initialized:
                return False
            if bundle.name not in self._bundle_versions:
                return False
        return True

    def same_files(self: Any, known_files: dict[str, Any]) -> bool:
        for bundle in self._dag_bundles:
            paths = list_py_file_paths(bundle.path, safe_mode=self.dag_discovery_safe_mode)
            found = {Path(path).relative_to(bundle.path) for path in paths}
            if found != {file.rel_path for file in known_files.get(bundle.name, ())}:
                return False
        return True

    def unchanged(self: Any, known_files: dict[str, Any]) -> bool:
        nonlocal moved, soonest, latest
        if not local(self):
            return False
        # A new or lost file changes its directory. To find a file that has become a DAG, it has to
        # read all of them.
        for bundle in self._dag_bundles:
            moved |= watches.setdefault(bundle.name, FolderWatch(bundle.path)).changed()
        now = time.monotonic()
        if now < (soonest if moved else latest):
            return True
        began = time.thread_time()
        same = same_files(self, known_files)
        took = time.thread_time() - began
        # A difference counts until upstream has taken it in. The loop comes once a second anyway.
        moved = not same
        soonest = now + min(max(0.0, took / BUSY_SHARE - 1), SEEN_SECONDS)
        latest = now + took / SHARE
        return same

    @functools.wraps(refresh)
    def _refresh_dag_bundles(self: Any, known_files: dict[str, Any]) -> None:
        nonlocal refresh_due, looked
        now = time.monotonic()
        if now < refresh_due and not self._force_refresh_bundles:
            # As often as the bundles themselves ask for it.
            intervals = [bundle.refresh_interval for bundle in self._dag_bundles]
            if now - looked < min(intervals, default=0):
                return
            looked = now
            if unchanged(self, known_files):
                return
            refresh(self, known_files)
            return
        began = time.thread_time()
        refresh(self, known_files)
        refresh_due = now + max(TIDY_SECONDS, (time.thread_time() - began) / SHARE)

    return {
        f"{MANAGER}.fetch_callbacks": fetch_callbacks,
        f"{MANAGER}.claim_priority_files": claim_priority_files,
        f"{MANAGER}.purge_inactive_dag_warnings": purge_inactive_dag_warnings,
        f"{MANAGER}._refresh_dag_bundles": _refresh_dag_bundles,
    }
