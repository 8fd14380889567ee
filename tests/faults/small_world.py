"""Private stacks on a small file system of their own, and with a clock of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT, Stack
from windtunnel.ports import free_offset


def libfaketime() -> Path | None:
    """Debian's package `libfaketime`, where it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def clock_variables(file: Path) -> dict[str, str]:
    """What gives a stack a clock of its own: `file` holds its offset in seconds to the machine's time."""
    library = libfaketime()
    assert library is not None
    file.write_text("+0.0\n")
    file.chmod(0o644)
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",  # else each process would jump at another moment
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # the kernel's does not jump either
    }


@contextmanager
def small_file_system(size: str) -> Iterator[Path]:
    """A tmpfs of so many bytes (`512m`); the test is skipped where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    # Not below pytest's folder, which other users may not pass: PostgreSQL's could not reach its data.
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-small-"))
    folder.chmod(0o755)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"this machine mounts no tmpfs: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


@contextmanager
def small_world(disk: str = "", clock: bool = False, **variables: str) -> Iterator[Stack]:
    """A stack with two slots that is up; `disk` is the size of its own file system, `clock` gives it its own clock."""
    if clock and libfaketime() is None:
        pytest.skip("libfaketime is not installed (Debian: apt-get install libfaketime)")
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-world-"))
    folder.chmod(0o755)
    try:
        more = clock_variables(folder / "clock") if clock else {}
        if disk:
            with small_file_system(disk) as mounted:
                with _stack(mounted / "state", more | variables) as stack:
                    yield stack
        else:
            with _stack(folder / "state", more | variables) as stack:
                yield stack
    finally:
        shutil.rmtree(folder)


@contextmanager
def _stack(state: Path, variables: dict[str, str]) -> Iterator[Stack]:
    variables.setdefault("WORKER_CONCURRENCY", "2")
    stack = Stack(state, free_offset(), ROOT, **variables)
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()
