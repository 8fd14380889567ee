"""Processes are told apart by boot, pid and start time, and found through every thread. Real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from windtunnel.system import procfs


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def test_a_process_that_was_given_the_same_number_is_not_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    found = procfs.read(sleeper.pid)
    assert found is not None
    stranger = procfs.Process(**{**vars(found), "start": found.start - 1})
    assert not procfs.kill(stranger)
    assert sleeper.poll() is None
    assert procfs.kill(found)
    assert sleeper.wait(5) == -9
    assert not procfs.kill(found), "it is gone"


def test_a_number_written_down_before_a_reboot_names_no_process(
    sleeper: subprocess.Popen[bytes],
) -> None:
    found = procfs.read(sleeper.pid)
    assert found is not None
    assert procfs.find(found.pid, found.start, procfs.boot_id()) is not None
    assert procfs.find(found.pid, found.start, "another boot") is None
    assert procfs.find(found.pid, found.start + 1, procfs.boot_id()) is None


def test_children_of_threads_are_found() -> None:
    code = (
        "import subprocess, threading\n"
        "start = lambda: print(subprocess.Popen(['sleep', '300']).pid, flush=True) or threading.Event().wait()\n"
        "threading.Thread(target=start).start()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert procfs.children(process.pid) == [child]
        assert procfs.tree(process.pid) == [process.pid, child]
    finally:
        for member in procfs.family(process.pid):
            procfs.kill(member)
        process.wait()
