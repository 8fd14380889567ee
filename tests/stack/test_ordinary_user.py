"""As an ordinary user, with the tools installed, everything works as it does for root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT, Stack, free_offset
from windtunnel import leftovers

NOBODY = 65534


class OrdinaryStack(Stack):
    """The same commands, each as the user `nobody`."""

    def command(self, *words: str, timeout: float = 300.0, check: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
        become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        return super().command(*become, *words, timeout=timeout, check=check, **more)


def reachable(path: Path) -> bool:
    """Whether any user may pass to this path and read it."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


@pytest.fixture
def ordinary() -> Iterator[OrdinaryStack]:
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    if not reachable(Path(shutil.which("python") or "python")) or not reachable(ROOT / "dev"):
        pytest.skip("this checkout or its Python lies in a folder that other users may not enter")
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-ordinary-"))
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    stack = OrdinaryStack(state=folder / "state", offset=free_offset(), HOME=str(folder))
    yield stack
    stack.destroy()
    shutil.rmtree(folder)


def test_an_ordinary_user_starts_uses_and_stops_a_stack(ordinary: OrdinaryStack) -> None:
    ordinary.up()
    assert {p.uids().real for p in leftovers.find(ordinary.settings)} == {NOBODY}
    assert ordinary.command("windtunnel", "run", "hello").returncode == 0
    assert ordinary.command("process-compose", "process", "scale", "worker", "2").returncode == 0
    assert ordinary.down().returncode == 0
    assert leftovers.find(ordinary.settings) == []


def test_an_ordinary_user_s_next_up_clears_what_a_crash_left(ordinary: OrdinaryStack) -> None:
    ordinary.up()
    run_id = ordinary.trigger("steady", seconds=60)
    for process in leftovers.find(ordinary.settings):
        if process.name() == "process-compose":
            process.kill()
    again = ordinary.command("process-compose", "up", "-D", check=True)
    assert "ending what it left" in again.stderr
    assert ordinary.command("windtunnel", "wait").returncode == 0
    # Its environment and folder are hidden from an ordinary user; the task was ended all the same.
    assert ordinary.finished("steady", run_id, 90) in ("failed", "success")
