"""What a supervisor leaves for others and for its successor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from windtunnel.ledger import ledger
from windtunnel.ledger.fence import Generation
from windtunnel.system import reserve
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(Options.parse([], {"WINDTUNNEL_STATE": str(tmp_path)}))


def leave(record: Record, **data: Any) -> None:
    """Files of a former supervisor."""
    record.files.create()
    ledger.write(record.files.supervisor, {"celery_pid": 7, "celery_start": 70, "boot": "b"} | data)


def test_a_worker_is_not_ready_because_its_former_supervisor_was(record: Record) -> None:
    leave(record)
    record.files.ready.touch()
    record.take()
    assert not record.files.ready.exists()


def test_an_end_without_a_drain_leaves_a_generation_to_fence_and_one_with_a_drain_none(
    record: Record, tmp_path: Path
) -> None:
    leave(record, restarts=2)
    record.take()
    assert record.former() == Generation(7, 70, "b")
    assert record.data["restarts"] == 2
    record.data["celery_pid"] = 8
    record.release(0)
    after = ledger.read(record.files.supervisor)
    assert after["state"] == "stopped" and "celery_pid" not in after


def test_a_change_of_the_detail_alone_is_said_and_written(record: Record) -> None:
    record.take()
    record.state("starting", "Celery is pid 7")
    record.save()
    record.state("starting", "Celery is pid 8")
    record.save()
    assert ledger.read(record.files.supervisor)["detail"] == "Celery is pid 8"


def test_there_are_blocks_for_the_records_of_a_full_disk(record: Record) -> None:
    record.take()
    record.save()
    blocks = list((record.files.folder / reserve.FOLDER).iterdir())
    # An entry and a report for each slot, and this worker's own files.
    assert len(blocks) == 2 * record.options.concurrency + 4
