"""DAG processor and triggerer ask the database when they are told to, and now and then although they are not."""

from __future__ import annotations

import inspect
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.patches import catalogue, dag_processor, triggerer
from windtunnel.services import database_notify
from windtunnel.system.folder_watch import FolderWatch


class Line:
    """Stands in for database_notify.Listener: a test counts up its notifications."""

    def __init__(self, *_: Any) -> None:
        self.count = 0
        self.connection: object | None = object()

    @property
    def listening(self) -> bool:
        return self.connection is not None

    def notified(self) -> bool:
        return True


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    made = Line()
    monkeypatch.setattr(database_notify, "Listener", lambda *_: made)
    for patched in (dag_processor, triggerer):
        monkeypatch.setattr(patched, "postgresql_url", lambda: "postgresql://nobody@127.0.0.1/none")
    return made


def test_each_subscription_sees_each_notification_for_itself_once() -> None:
    now, line = [100.0], Line()
    one, other = (database_notify.Subscription(line, 10.0, lambda: now[0]) for _ in range(2))  # type: ignore[arg-type]
    assert (one.is_due(), other.is_due()) == (True, True), "what happened before is not known"
    assert (one.is_due(), other.is_due()) == (False, False)
    line.count += 1
    assert (one.is_due(), one.is_due(), other.is_due()) == (True, False, True)
    one.again()
    assert (one.is_due(), one.is_due(), other.is_due()) == (True, False, False)
    now[0] += 10.0
    assert (one.is_due(), one.is_due()) == (True, False), "it looks although no notification came"
    line.connection = None
    assert (one.is_due(), one.is_due()) == (True, True), "where it cannot listen it always looks"


def test_a_listener_without_a_database_is_news_to_everyone() -> None:
    subscription = database_notify.Subscription(
        database_notify.Listener(
            "postgresql+psycopg2://airflow:secret@127.0.0.1:1/airflow",
            database_notify.FILES,
            "test",
        ),
        60.0,
    )
    assert subscription.is_due()
    assert subscription.is_due()


@pytest.fixture
def manager(line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A patched DAG processor with one folder of DAG files; `did` lists the steps of upstream's that it took."""
    from airflow.dag_processing.bundles.local import LocalDagBundle
    from airflow.dag_processing.manager import DagFileProcessorManager as Manager

    did: list[str] = []

    def fetch_callbacks(self: Any) -> list[str]:
        did.append("fetch")
        return self.callbacks.pop() if self.callbacks else []

    def claim_priority_files(self: Any) -> list[str]:
        did.append("claim")
        return []

    def purge_inactive_dag_warnings(self: Any) -> None:
        did.append("purge")

    def _refresh_dag_bundles(self: Any, known_files: dict[str, Any]) -> None:
        did.append("refresh")

    for step in (
        fetch_callbacks,
        claim_priority_files,
        purge_inactive_dag_warnings,
        _refresh_dag_bundles,
    ):
        monkeypatch.setattr(Manager, step.__name__, step)
    assert catalogue.files_when_notified()
    monkeypatch.setattr(dag_processor, "TIDY_SECONDS", 3600.0)
    made = Manager.__new__(Manager)
    bundle = LocalDagBundle(name="dags", path=str(tmp_path), refresh_interval=0)
    bundle.is_initialized = True
    made._dag_bundles, made._bundle_versions, made._force_refresh_bundles = (
        [bundle],
        {"dags": None},
        set(),
    )
    made.dag_discovery_safe_mode = False
    made.did, made.callbacks, made.folder = did, [], tmp_path
    return made


def test_without_news_the_dag_processor_makes_no_transaction(manager: Any, line: Line) -> None:
    def a_round() -> list[str]:
        manager.did.clear()
        manager.claim_priority_files()
        manager._refresh_dag_bundles({"dags": set()})
        manager.fetch_callbacks()
        manager.purge_inactive_dag_warnings()
        return list(manager.did)

    assert a_round() == ["claim", "refresh", "fetch", "purge"]
    assert a_round() == []
    line.count += 1
    assert a_round() == ["claim", "fetch"]
    line.count += 1
    manager.callbacks = [["two"], ["one"]]
    assert [a_round() for _ in range(4)] == [["claim", "fetch"], ["fetch"], ["fetch"], []], (
        "callbacks are taken until none is left"
    )


def test_a_file_that_came_or_went_makes_a_refresh(manager: Any) -> None:
    known: dict[str, Any] = {"dags": set()}
    manager._refresh_dag_bundles(known)
    manager._refresh_dag_bundles(known)
    (manager.folder / "new.py").write_text("")
    manager._refresh_dag_bundles(known)
    assert manager.did == ["refresh"] * 2
    known["dags"] = [SimpleNamespace(rel_path=Path("new.py"))]
    manager._refresh_dag_bundles(known)
    assert manager.did == ["refresh"] * 2
    (manager.folder / "new.py").unlink()
    manager._refresh_dag_bundles(known)
    assert manager.did == ["refresh"] * 3


def test_a_bundle_that_is_not_a_folder_or_is_asked_for_is_refreshed_as_ever(manager: Any) -> None:
    from airflow.dag_processing.bundles.local import LocalDagBundle

    class Remote(LocalDagBundle):  # type: ignore[misc]
        """As S3 and Git are: the files on this machine say nothing of the original's."""

    manager._refresh_dag_bundles({"dags": set()})
    manager._force_refresh_bundles = {"dags"}
    manager._refresh_dag_bundles({"dags": set()})
    manager._force_refresh_bundles = set()
    manager._dag_bundles[0].__class__ = Remote
    manager._refresh_dag_bundles({"dags": set()})
    assert manager.did == ["refresh"] * 3


def test_a_triggerer_without_triggers_asks_for_some_when_notified(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor as Supervisor

    did: list[str] = []

    def load_triggers(self: Any) -> None:
        did.append("load")

    def clean_unused(self: Any) -> None:
        did.append("clean")

    monkeypatch.setattr(Supervisor, "load_triggers", load_triggers)
    monkeypatch.setattr(Supervisor, "clean_unused", clean_unused)
    assert catalogue.triggers_when_notified()
    held: dict[str, Any] = {
        "running_triggers": set(),
        "creating_triggers": [],
        "cancelling_triggers": set(),
        "events": [],
        "failed_triggers": [],
    }
    stand_in = SimpleNamespace(**held)

    def a_round() -> list[str]:
        did.clear()
        Supervisor.load_triggers(stand_in)
        Supervisor.clean_unused(stand_in)
        return list(did)

    assert [a_round(), a_round()] == [["load", "clean"], []]
    line.count += 1
    assert [a_round(), a_round()] == [["load", "clean"], []]
    stand_in.running_triggers = {7}
    assert [a_round(), a_round()] == [["load", "clean"]] * 2, (
        "with a trigger in hand as upstream does it"
    )


def test_both_step_back_from_another_airflow(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.manager import DagFileProcessorManager
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

    monkeypatch.setattr(DagFileProcessorManager, "fetch_callbacks", lambda self, session: [])
    assert not catalogue.files_when_notified()
    monkeypatch.setattr(TriggerRunnerSupervisor, "load_triggers", lambda self, session: None)
    assert not catalogue.triggers_when_notified()


def test_upstream_still_asks_in_every_round() -> None:
    from airflow.dag_processing.manager import DagFileProcessorManager
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

    loop = inspect.getsource(DagFileProcessorManager._run_parsing_loop)
    assert all(
        step in loop
        for step in ("self.fetch_callbacks()", "self._queue_requested_files_for_parsing()")
    )
    assert "self.claim_priority_files()" in inspect.getsource(
        DagFileProcessorManager._queue_requested_files_for_parsing
    )
    assert "self.load_triggers()" in inspect.getsource(TriggerRunnerSupervisor.run_once)
    assert "self.clean_unused()" in inspect.getsource(TriggerRunnerSupervisor.run_once)


def test_directories_alone_tell_that_files_came_or_went(tmp_path: Path) -> None:
    deep = tmp_path / "venv" / "package"
    deep.mkdir(parents=True)
    (tmp_path / "venv" / "back").symlink_to(tmp_path, target_is_directory=True)
    long_ago = time.time() - 60
    for folder in (deep, deep.parent, tmp_path):
        os.utime(folder, (long_ago, long_ago))
    watch = FolderWatch(tmp_path)
    assert [watch.changed() for _ in range(3)] == [True, False, False]
    (deep / "__pycache__").mkdir()
    os.utime(deep, (long_ago, long_ago))
    (deep / "__pycache__" / "new.pyc").touch()
    assert not watch.changed(), "an import is no change"
    (deep / "new.py").touch()
    assert watch.changed()
    assert watch.changed(), "another one may have come in the same tick of the clock"
    os.utime(deep, (long_ago, long_ago))
    assert [watch.changed() for _ in range(2)] == [True, False]
    shutil.rmtree(deep)
    assert watch.changed(), "a directory went"


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock, and how often the DAG processor read through all files; each time costs it a second."""
    from airflow.utils import file

    seen = {"now": 1000.0, "spent": 0.0, "listings": 0.0}
    original = file.list_py_file_paths

    def list_py_file_paths(directory: Any, safe_mode: bool = True, **more: Any) -> Any:
        seen["listings"] += 1
        seen["spent"] += 1.0
        return original(directory, safe_mode=safe_mode, **more)

    monkeypatch.setattr(file, "list_py_file_paths", list_py_file_paths)
    monkeypatch.setattr(
        dag_processor,
        "time",
        SimpleNamespace(monotonic=lambda: seen["now"], thread_time=lambda: seen["spent"]),
    )
    return seen


def test_files_that_take_a_second_to_read_through_are_seldom_read_through(
    listings: dict[str, float], manager: Any
) -> None:
    """As with 20,000 files of a venv among the DAGs; a new file is seen within seconds all the same."""
    known: dict[str, Any] = {"dags": set()}
    os.utime(manager.folder, (time.time() - 60,) * 2)
    for _ in range(600):
        listings["now"] += 1.0
        manager._refresh_dag_bundles(known)
    assert 1 <= listings["listings"] <= 600 * dag_processor.SHARE + 3
    manager.did.clear()
    (manager.folder / "new.py").write_text("")
    waited = 0
    while not manager.did:
        listings["now"] += 1.0
        waited += 1
        manager._refresh_dag_bundles(known)
    assert waited <= dag_processor.SEEN_SECONDS + 1
