"""The file of events: written by several processes at once, on a full disk, and past its limit."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.small_world import small_file_system
from windtunnel.system import events

#: Adds events to the file that the first argument names: as many as the third, with the second as component.
WRITER = """
import sys
from pathlib import Path
from windtunnel.system import events
file, component, count, events.LIMIT_BYTES = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for number in range(count):
    events.append(file, {"time": 1.0, "component": component, "number": number, "text": "x" * 200})
"""


@pytest.fixture
def small() -> Iterator[Path]:
    with small_file_system("1m") as folder:
        yield folder


def write(file: Path, count: int, limit: int) -> None:
    """Four processes write `count` events each."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), name, str(count), str(limit)])
        for name in "abcd"
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4


def test_lines_of_several_processes_are_whole_and_in_the_order_of_each(tmp_path: Path) -> None:
    file = tmp_path / events.NAME
    write(file, 500, events.LIMIT_BYTES)
    found = events.read(file)
    lines = [line for line in file.read_bytes().splitlines() if line]
    assert len(found) == len(lines) == 2000
    for name in "abcd":
        assert [e["number"] for e in found if e["component"] == name] == list(range(500))


def test_the_file_is_rotated_once_at_its_limit_however_many_processes_write(tmp_path: Path) -> None:
    file = tmp_path / events.NAME
    write(file, 500, 300_000)  # 2000 lines of some 260 bytes: one rotation
    assert set(tmp_path.iterdir()) == {file, events.former(file)}
    assert 300_000 < events.former(file).stat().st_size < 310_000
    found = events.read(file)
    assert len(found) == 2000, "no event is lost where the file is rotated once"
    assert {(e["component"], e["number"]) for e in found} == {
        (name, number) for name in "abcd" for number in range(500)
    }


def test_two_files_of_the_limit_are_the_most_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LIMIT_BYTES", 1000)
    file = tmp_path / events.NAME
    for number in range(200):
        events.append(file, {"time": float(number)})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2100
    found = [event["time"] for event in events.read(file)]
    assert found == sorted(found) and found[-1] == 199.0


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / events.NAME
    events.append(file, {"time": 1.0})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_full_disk_raises_nothing_and_later_events_are_whole(small: Path) -> None:
    file = small / events.NAME
    for number in range(10_000):  # some 2.6 MB for a file system of 1 MiB
        events.append(file, {"time": 1.0, "number": number, "text": "x" * 200})
    kept = events.read(file)
    assert 100 < len(kept) < 10_000
    ballast = small / "ballast"
    os.truncate(file, file.stat().st_size - 100)  # as a line that the full disk cut off
    assert not ballast.exists()
    events.append(file, {"time": 2.0, "text": "room again"})
    assert events.read(file)[-1] == {"time": 2.0, "text": "room again"}


def test_without_its_folder_nothing_is_written_and_nothing_raised(tmp_path: Path) -> None:
    events.append(tmp_path / "nowhere" / events.NAME, {"time": 1.0})
    assert events.read(tmp_path / "nowhere" / events.NAME) == []


@pytest.mark.parametrize("line", ["", "{", '{"time": 1', "[]", '{"time": "1"}', "7", "\udcff"])
def test_a_line_that_is_no_event_is_skipped(line: str) -> None:
    good = {"time": 1.0, "text": "\ud800"}
    assert list(events.parse([line, json.dumps(good)])) == [good]
