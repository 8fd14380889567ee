"""Patches of DAG processor and triggerer: an idle one leaves the database alone until it is told of something."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from windtunnel.patches.base import Unfit, parameters, postgresql_url
from windtunnel.patches.registry import Replacements, patch

#: Seconds. Without news, and whatever was missed, each looks this often.
LOOK_SECONDS = 10.0
#: Seconds. How often what may go wrong beside the files themselves is put right: stale warnings, DAGs of files long gone.
TIDY_SECONDS = 60.0
#: Of a core, at most, for reading through all files of the DAG folder although no directory has changed, and for tidying.
SHARE = 0.005
#: The same while directories change all the time (a package is being installed), but a new file waits no longer than SEEN_SECONDS.
BUSY_SHARE = 0.1
SEEN_SECONDS = 5.0


MANAGER = "airflow.dag_processing.manager:DagFileProcessorManager"
TRIGGERER = "airflow.jobs.triggerer_job_runner:TriggerRunnerSupervisor"


@patch(
    "speed",
    f"{MANAGER}.fetch_callbacks",
    f"{MANAGER}.claim_priority_files",
    f"{MANAGER}.purge_inactive_dag_warnings",
    f"{MANAGER}._refresh_dag_bundles",
    tested="apache-airflow 3.3",
    components=("dag-processor",),
)
def files_when_told() -> Replacements:
    """The DAG processor asks the database for callbacks and requests when there are some, and tidies it when files came or went.

    Cause: `_run_parsing_loop` makes three transactions in each of its rounds, two rounds a second, and about twelve more each
    time it looks for new files (`bundle_refresh_check_interval`): 1.3 % of a core here, and half as much in PostgreSQL.
    Ours: NOTIFY tells of callbacks and requests; a refresh that finds the files of the last one ends
    there, for a minute at most. Bundles other than folders are refreshed as upstream does it.
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
    if (url := postgresql_url()) is None:
        raise Unfit("the database is not PostgreSQL")
    from windtunnel.services.database_notify import FILES, Listener, Subscription
    from windtunnel.system.folder_watch import FolderWatch

    listener = Listener(url, FILES, "dag-processor")
    callbacks = Subscription(listener, LOOK_SECONDS)
    requests = Subscription(listener, LOOK_SECONDS)
    fetch, claim, purge, refresh = (getattr(Manager, step) for step in steps)
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
        return all(type(b) is LocalDagBundle and b.is_initialized and b.name in self._bundle_versions for b in self._dag_bundles)

    def same_files(self: Any, known_files: dict[str, Any]) -> bool:
        for bundle in self._dag_bundles:
            paths = list_py_file_paths(bundle.path, safe_mode=self.dag_discovery_safe_mode)
            if {Path(path).relative_to(bundle.path) for path in paths} != {file.rel_path for file in known_files.get(bundle.name, ())}:
                return False
        return True

    def unchanged(self: Any, known_files: dict[str, Any]) -> bool:
        nonlocal moved, soonest, latest
        if not local(self):
            return False
        # A new or lost file changes its directory. One that has become a DAG is found by reading through all of them.
        for bundle in self._dag_bundles:
            moved |= watches.setdefault(bundle.name, FolderWatch(bundle.path)).changed()
        now = time.monotonic()
        if now < (soonest if moved else latest):
            return True
        began = time.thread_time()
        same = same_files(self, known_files)
        took = time.thread_time() - began
        # What differs stays news until upstream has taken it in. It is asked once a second anyway.
        moved, soonest, latest = not same, now + min(max(0.0, took / BUSY_SHARE - 1), SEEN_SECONDS), now + took / SHARE
        return same

    @functools.wraps(refresh)
    def _refresh_dag_bundles(self: Any, known_files: dict[str, Any]) -> None:
        nonlocal refresh_due, looked
        now = time.monotonic()
        if now < refresh_due and not self._force_refresh_bundles:
            # As often as the bundles themselves ask for it.
            if now - looked < min((bundle.refresh_interval for bundle in self._dag_bundles), default=0):
                return
            looked = now
            if unchanged(self, known_files):
                return
            refresh(self, known_files)
            return
        began = time.thread_time()
        refresh(self, known_files)
        refresh_due = now + max(TIDY_SECONDS, (time.thread_time() - began) / SHARE)

    made = (fetch_callbacks, claim_priority_files, purge_inactive_dag_warnings, _refresh_dag_bundles)
    return {f"{MANAGER}.{step.__name__}": step for step in made}


@patch(
    "speed",
    f"{TRIGGERER}.load_triggers",
    f"{TRIGGERER}.clean_unused",
    tested="apache-airflow 3.3",
    components=("triggerer",),
)
def triggers_when_told() -> Replacements:
    """A triggerer without triggers asks the database for some when there are some.

    Cause: `TriggerRunnerSupervisor.run_once` assigns, lists and cleans up triggers once a second, five statements, whether there
    is one or not: 1 % of a core here, and a third as much in PostgreSQL.
    Ours: with none in hand it does so when NOTIFY tells of a trigger without a triggerer, and every
    LOOK_SECONDS, since those of a triggerer that died become free by the clock.
    """
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor as Supervisor

    load, clean = Supervisor.load_triggers, Supervisor.clean_unused
    held = ("running_triggers", "creating_triggers", "cancelling_triggers", "events", "failed_triggers")
    fields = {field.name for field in getattr(Supervisor, "__attrs_attrs__", ())}
    if parameters(load) != ["self"] or parameters(clean) != ["self"] or not fields.issuperset(held):
        raise Unfit("TriggerRunnerSupervisor looks different")
    if (url := postgresql_url()) is None:
        raise Unfit("the database is not PostgreSQL")
    from windtunnel.services.database_notify import DEFERRED, Listener, Subscription

    listener = Listener(url, DEFERRED, "triggerer")
    subscription = Subscription(listener, LOOK_SECONDS)
    looked = True

    @functools.wraps(load)
    def load_triggers(self: Any) -> None:
        nonlocal looked
        # In this order: what is heard is heard, busy or not.
        looked = subscription.is_due() or any(getattr(self, field) for field in held)
        if looked:
            load(self)

    @functools.wraps(clean)
    def clean_unused(self: Any) -> None:
        if looked:
            clean(self)

    return {f"{TRIGGERER}.load_triggers": load_triggers, f"{TRIGGERER}.clean_unused": clean_unused}
