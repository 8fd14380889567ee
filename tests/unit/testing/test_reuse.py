"""A reused stack is not started anew under another session, and a broken one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.settings import load
from windtunnel.testing import reuse
from windtunnel.testing.session import Session

#: A session that uses the stack until its input ends, and a process that one of its tests forked.
USER = """
import os, sys
from pathlib import Path
from windtunnel.testing import reuse
file = reuse.use(Path(sys.argv[1]))
print("uses it", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state" / "run").mkdir(parents=True)
    return tmp_path / "state"


class Config:
    """pytest's, as far as it is used."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.pluginmanager = pytest.PytestPluginManager()

    def getoption(self, name: str) -> Any:
        return {"--windtunnel": self.mode, "--windtunnel-start-timeout": 300.0}.get(name)


def session(mode: str, monkeypatch: pytest.MonkeyPatch, well: bool) -> tuple[Session, list[Any]]:
    made = Session(cast(pytest.Config, Config(mode)), Path("/nowhere"), {})
    limits: list[Any] = []

    def require(settings: object, seconds: float | None = None) -> None:
        limits.append(seconds)
        if not well:
            raise WindtunnelError("scheduler: stopped")

    monkeypatch.setattr(made, "_require_ready", require)
    return made, limits


def test_a_stack_is_in_use_as_long_as_a_process_uses_it(state: Path) -> None:
    reuse.require_unused(state)
    command = [sys.executable, "-c", USER, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(WindtunnelError, match="another session uses it"):
            reuse.require_unused(state)
        other.kill()
        other.wait()
        reuse.require_unused(state)


def test_other_variables_are_noticed(state: Path) -> None:
    assert reuse.variables_differ(state, {})
    reuse.note_variables(state, {"A": "1"})
    assert not reuse.variables_differ(state, {"A": "1"})
    assert reuse.variables_differ(state, {"A": "2"})


def test_a_stack_that_a_killed_session_has_left_broken_is_started_anew(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load({"WINDTUNNEL_STATE": str(state)}, client=False)
    found, limits = session("reuse", monkeypatch, well=False)
    assert found._found(known) is False and limits == [30.0]
    found, _ = session("reuse", monkeypatch, well=True)
    assert found._found(known) is True
    # Here a test of another process has broken it, and mends it.
    found, limits = session("private", monkeypatch, well=False)
    with pytest.raises(WindtunnelError, match="scheduler"):
        found._found(known)
    assert limits == [None]
