"""Several blocks, of one process and of many, shorten one stack's waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.runtime import impatience_file
from windtunnel.runtime.impatience_file import hold, read, release

HOLD = "import sys; from pathlib import Path; from windtunnel.runtime import impatience_file as f; "
ONE = HOLD + "f.hold(Path(sys.argv[1]), float(sys.argv[2])); print('held', flush=True); input()"
MANY = HOLD + (
    "folder = Path(sys.argv[1]);"
    "[f.release(folder, f.hold(folder, 5)) for _ in range(40)]; f.hold(folder, 7); print('done', flush=True); input()"
)


def begun(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_the_largest_factor_of_nested_blocks_applies(tmp_path: Path) -> None:
    outer = hold(tmp_path, 10)
    same, larger, smaller = hold(tmp_path, 10), hold(tmp_path, 60), hold(tmp_path, 2)
    assert read(tmp_path).factor == 60
    release(tmp_path, larger)
    assert read(tmp_path).factor == 10
    for name in (same, smaller):
        release(tmp_path, name)
    assert (read(tmp_path).factor, read(tmp_path).tag) == (10, "impatient x10")
    release(tmp_path, outer)
    assert (read(tmp_path).factor, read(tmp_path).tag) == (1, "")
    assert not (tmp_path / impatience_file.NAME).exists()


def test_since_tells_when_the_factor_changed_last(tmp_path: Path) -> None:
    hold(tmp_path, 10)
    began = read(tmp_path).since
    second = hold(tmp_path, 10)
    assert read(tmp_path).since == began
    larger = hold(tmp_path, 20)
    assert read(tmp_path).since > began
    for name in (second, larger):
        release(tmp_path, name)
    assert read(tmp_path).since > began


def test_a_block_of_another_process_counts_as_long_as_that_lives(tmp_path: Path) -> None:
    process = begun(ONE, tmp_path, 100)
    assert said(process) == "held"
    own = hold(tmp_path, 10)
    assert read(tmp_path).factor == 100
    process.kill()
    process.wait()
    assert read(tmp_path).factor == 10, "nobody has taken its entry away"
    release(tmp_path, own)
    assert not (tmp_path / impatience_file.NAME).exists()


def test_an_entry_of_a_process_that_is_dead_is_removed_by_the_next_block(tmp_path: Path) -> None:
    process = begun(ONE, tmp_path, 100)
    assert said(process) == "held"
    process.kill()
    process.wait()
    assert read(tmp_path).factor == 1
    hold(tmp_path, 10)
    (holder,) = json.loads((tmp_path / impatience_file.NAME).read_text())["holders"]
    assert holder["pid"] == os.getpid()


@pytest.mark.parametrize(("part", "value"), [("start", 1), ("boot", "another")])
def test_another_process_that_has_the_pid_does_not_count(
    tmp_path: Path, part: str, value: object
) -> None:
    hold(tmp_path, 10)
    file = tmp_path / impatience_file.NAME
    data = json.loads(file.read_text())
    data["holders"][0][part] = value
    file.write_text(json.dumps(data))
    assert read(tmp_path).factor == 1


def test_processes_that_change_the_file_at_once_lose_no_entry(tmp_path: Path) -> None:
    processes = [begun(MANY, tmp_path) for _ in range(4)]
    for process in processes:
        assert said(process) == "done"
    data = json.loads((tmp_path / impatience_file.NAME).read_text())
    assert {holder["pid"] for holder in data["holders"]} == {process.pid for process in processes}
    for process in processes:
        process.communicate("\n")
    assert read(tmp_path).factor == 1
