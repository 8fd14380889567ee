"""What the scheduler's host and a worker's are compared by."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from windtunnel.ledger import ledger
from windtunnel.runtime import celery_signals, version_skew

WORKLOAD = {
    "bundle_info": {"name": "dags-folder"},
    "dag_rel_path": "etl/daily.py",
    "log_path": "x/1.log",
    "ti": {"dag_id": "daily"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The DAG folder of this host, with one file."""
    dags = tmp_path / "dags"
    (dags / "etl").mkdir(parents=True)
    (dags / "etl" / "daily.py").write_text("one = 1\n")
    monkeypatch.setattr(version_skew, "_dags_folder", lambda: str(dags))
    return dags


def stamped() -> dict[str, Any]:
    """The stamp of a message as the scheduler sends it."""
    headers: dict[str, Any] = {}
    version_skew.stamp(headers=headers, body=([json.dumps(WORKLOAD)], {}, {}))
    return dict(json.loads(json.dumps(headers[version_skew.HEADER])))


def test_a_worker_of_the_same_make_differs_in_nothing(folder: Path) -> None:
    here = stamped()
    assert version_skew.differences(here, WORKLOAD) == {"packages": None}
    assert version_skew.differences(here | {"host": "other"}, WORKLOAD) == {
        "packages": None,
        "etl/daily.py": None,
    }


def test_other_packages_are_told_with_what_each_side_runs_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = stamped()
    extra = tmp_path / "extra"
    (extra / "some_package-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(extra), str(tmp_path / "missing")])
    version_skew.packages.cache_clear()
    try:
        told = version_skew.differences(theirs, WORKLOAD)["packages"]
        assert told is not None
        assert version_skew.packages() in told and theirs["packages"] in told
        # A second copy further down the path is not imported, so it does not count.
        before = version_skew.packages()
        second = tmp_path / "second"
        (second / "Some-Package-0.9.dist-info").mkdir(parents=True)
        monkeypatch.setattr(sys, "path", [*sys.path, str(second)])
        version_skew.packages.cache_clear()
        assert version_skew.packages() == before
    finally:
        version_skew.packages.cache_clear()


def test_another_hosts_dag_file_is_compared_and_ones_own_is_not(folder: Path) -> None:
    queued = stamped()
    file = folder / "etl" / "daily.py"
    file.write_text("one = 11\n")
    assert version_skew.differences(queued, WORKLOAD) == {"packages": None}, (
        "edited here since it was queued: nobody's mistake"
    )
    elsewhere = queued | {"host": "other"}
    assert "differs from the scheduler's" in str(
        version_skew.differences(elsewhere, WORKLOAD)["etl/daily.py"]
    )
    file.unlink()
    assert "is missing" in str(version_skew.differences(elsewhere, WORKLOAD)["etl/daily.py"])
    git = WORKLOAD | {"bundle_info": {"name": "git"}}
    assert version_skew.dag_file(str(folder), git) is None, "a bundle with versions of its own"


@pytest.mark.parametrize("theirs", [None, "text", 3, {}, {"host": "other"}])
def test_a_message_of_another_sender_compares_nothing(folder: Path, theirs: Any) -> None:
    assert version_skew.differences(theirs, WORKLOAD) == {}


def test_what_is_no_workload_is_stamped_and_read_all_the_same(folder: Path) -> None:
    headers: dict[str, Any] = {}
    version_skew.stamp(headers=headers, body=(["no json"], {}, {}))
    assert headers[version_skew.HEADER]["dag_file"] is None
    version_skew.stamp(headers=None, body=None)
    assert (
        version_skew.workload(())
        == version_skew.workload(["[1]"])
        == version_skew.workload([None])
        == {}
    )


def test_each_task_says_it_in_its_log_and_the_worker_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ledger.WorkerFiles(tmp_path / "run", "worker-7")
    files.create()
    log = tmp_path / "1.log"
    other = {"packages": "Python 2", "host": version_skew.host(), "dag_file": None}
    for _ in range(2):
        celery_signals.compare(files, other, {}, {"log": str(log)})
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["level"] for line in lines] == ["warning"] * 2
    assert "the scheduler on Python 2" in lines[0]["event"]
    assert capsys.readouterr().out.count("the scheduler on Python 2") == 1
    assert [text for text in files.skewed() if "Python 2" in text]
    celery_signals.compare(files, stamped(), {}, {"log": str(log)})
    assert files.skewed() == [], "a task that found no difference ends the note"


def test_a_worker_that_starts_anew_forgets_what_it_was(tmp_path: Path) -> None:
    files = ledger.WorkerFiles(tmp_path / "run", "worker-7")
    files.create()
    assert files.note_skew("packages", "other") and not files.note_skew("packages", "other")
    files.forget_skew()
    assert not files.skewed() and not list(files.skew.iterdir())
