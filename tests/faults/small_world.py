"""Private stacks on a small file system of their own, and with a clock of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults import own_clock
from tests.stack_fixture import ROOT, Stack
from windtunnel.stack.ports import free_offset


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
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
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
    if clock and (lacks := own_clock.missing()):
        pytest.skip(lacks)
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-world-"))
    folder.chmod(0o755)
    try:
        with ExitStack() as parts:
            more = {}
            if clock:
                more = own_clock.variables(folder)
                parts.enter_context(own_clock.shared(folder))
            place = parts.enter_context(small_file_system(disk)) if disk else folder
            yield parts.enter_context(_stack(place / "state", more | variables))
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
