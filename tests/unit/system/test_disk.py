"""On a file system that is really full: what is still written, what waits, and what is said about it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.small_world import small_file_system
from tests.unit.said import Said
from windtunnel.drill import machine_faults
from windtunnel.errors import WindtunnelError
from windtunnel.ledger import ledger
from windtunnel.patches.task_log import LogFile
from windtunnel.reconciler.disk_watch import Watch
from windtunnel.settings import load
from windtunnel.system import disk, reserve
from windtunnel.worker.record import Record


@pytest.fixture
def small() -> Iterator[Path]:
    with small_file_system("1m") as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Takes the last byte; delete the file to make room."""
    path = folder / "ballast"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return path


def record(folder: Path) -> Record:
    files = ledger.WorkerFiles(folder, "worker-0")
    files.create()
    options: Any = SimpleNamespace(files=files, name="worker-0", concurrency=2)
    return Record(options)


def test_the_ledger_is_written_on_a_full_disk_from_what_the_worker_keeps(small: Path) -> None:
    files = record(small).files
    reserve.fill(files.folder, 2)
    fill(small)
    ledger.write(files.task("one"), {"received": 1.0})
    ledger.write(files.task("one"), {"pid": 7, "log": "x" * 300})
    ledger.write(files.task("two"), {"received": 2.0})
    assert files.in_hand() == {"one": {"pid": 7, "log": "x" * 300}, "two": {"received": 2.0}}
    with pytest.raises(OSError, match="No space"):
        ledger.write(files.task("three"), {"received": 3.0})
    assert sorted(path.name for path in files.tasks.iterdir()) == ["one.json", "two.json"], (
        "half a file is left"
    )


def test_the_reserve_is_filled_again_once_there_is_room(small: Path) -> None:
    files = record(small).files
    reserve.fill(files.folder, 2)
    ballast = fill(small)
    ledger.write(files.task("one"), {"received": 1.0})
    reserve.fill(files.folder, 2)
    assert len(list((files.folder / "reserve").iterdir())) == 1
    ballast.unlink()
    reserve.fill(files.folder, 2)
    assert len(list((files.folder / "reserve").iterdir())) == 2


def test_a_supervisor_lives_on_says_why_and_saves_later(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, said = record(small), Said()
    monkeypatch.setattr(kept, "say", said)
    ballast = fill(small)
    kept.state("healthy")
    kept.save()
    assert said.events == ["state", "cannot_write"]
    full = f"the file system {small} of the state folder is full"
    assert f"cannot write its state, and goes on: {full}" in said.lines[-1]
    ballast.unlink()
    kept.save()
    assert ledger.read(kept.files.supervisor)["state"] == "healthy"
    assert "can write again" in said.lines[-1]


def test_a_task_log_says_how_many_lines_found_no_room(small: Path) -> None:
    path = small / "task.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        log = LogFile(descriptor)
        log.write(b'{"event": "before"}\n')
        ballast = fill(small)
        for number in range(500):
            log.write(json.dumps({"event": f"during {number}"}).encode() + b"\n")
        ballast.unlink()
        log.write(b'{"event": "after"}\n')
    finally:
        os.close(descriptor)
    lines = path.read_text().splitlines()
    assert lines[0] == '{"event": "before"}' and lines[-1] == '{"event": "after"}'
    kept = sum(line.startswith('{"event": "during') and line.endswith("}") for line in lines)
    assert f"{500 - kept} line(s) of this log are missing: the disk was full" in lines[-2]


def test_a_log_names_the_file_system_before_while_and_after_it_is_full(small: Path) -> None:
    said = Said()
    watch = Watch(small, said)
    watch.check(0.0)
    assert said.lines == []
    with (small / "much").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.room(small).free - 72 * 1024)
    watch.check(5.0)
    assert said.lines[-1].startswith(f"the file system {small} of the state folder is nearly full")
    ballast = fill(small)
    watch.check(10.0)
    watch.check(15.0)
    watch.check(75.0)
    assert [
        text.startswith(f"the file system {small} of the state folder is full")
        for text in said.lines
    ] == [False, True, True]
    ballast.unlink()
    (small / "much").unlink()
    watch.check(80.0)
    assert said.lines[-1] == f"there is room again on {small}: it was full for 70 s"
    assert said.events == ["disk_low", "disk_low", "disk_low", "disk_has_room"]


@pytest.mark.parametrize(
    ("free", "total", "says"),
    [
        (400 * disk.MIB, 20_000 * disk.MIB, "nearly full: 400 of 20000 MiB free"),
        (600 * disk.MIB, 1_000_000 * disk.MIB, None),
        (30 * disk.MIB, 512 * disk.MIB, "nearly full"),
        (15 * disk.MIB, 512 * disk.MIB, "is full"),
        (40 * disk.MIB, 512 * disk.MIB, None),
    ],
)
def test_the_threshold_fits_small_and_large_file_systems(
    free: int, total: int, says: str | None
) -> None:
    problem = disk.Room(Path("/data"), free, total).problem()
    if says is None:
        assert problem is None
    else:
        assert says in str(problem)


def test_a_file_system_without_inodes_left_is_full() -> None:
    assert "no file can be made" in str(
        disk.Room(Path("/data"), 10**12, 10**13, files_free=0).problem()
    )


def test_a_rehearsal_fills_no_file_system_that_others_use(tmp_path: Path, small: Path) -> None:
    for state in (tmp_path, small / "deeper" / "state"):
        state.mkdir(parents=True, exist_ok=True)
        settings = load({"WINDTUNNEL_STATE": str(state), "WINDTUNNEL_ROOT": str(tmp_path)})
        with pytest.raises(WindtunnelError, match="not on a small file system of its own"):
            machine_faults.own_file_system(settings)
    (small / "state").mkdir()
    settings = load({"WINDTUNNEL_STATE": str(small / "state"), "WINDTUNNEL_ROOT": str(tmp_path)})
    before = disk.room(small).free
    with machine_faults.full_disk(settings):
        assert disk.room(small).free == 0
    assert disk.room(small).free == before
