"""The end of a private stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.stack import leftovers, private
from windtunnel.system import procfs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state").mkdir()
    return load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)


def test_a_command_that_still_starts_the_stack_is_ended_with_it(settings: Settings) -> None:
    env = {"WINDTUNNEL_STATE": str(settings.state)}
    starting = subprocess.Popen([sys.executable, "-c", "input()"], env=env, stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], env={}, stdin=subprocess.PIPE)
    try:
        # The variables are those of the former program until `exec`.
        while psutil.Process(starting.pid).environ() != env:
            pass
        process = procfs.read(starting.pid)
        assert process is not None
        private.destroy(settings)
        # psutil has collected the exit status.
        assert not procfs.alive(*process.key)
        assert other.poll() is None
    finally:
        other.communicate()
    assert not settings.state.exists()


def test_a_process_that_cannot_be_ended_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "END_SECONDS", 0.1)
    monkeypatch.setattr(leftovers, "find", lambda _: [psutil.Process()])
    monkeypatch.setattr(leftovers, "end", list)
    with pytest.raises(WindtunnelError, match=f"cannot end {psutil.Process().pid} of a private"):
        private.end(settings)
