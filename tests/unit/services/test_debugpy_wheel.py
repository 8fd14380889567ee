"""debugpy for `windtunnel debug`: pinned by hash, in the state folder. What uv would fetch is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.project import fake_uv
from windtunnel.errors import WindtunnelError
from windtunnel.services import debugpy_wheel, pinned_wheels
from windtunnel.settings import Settings, load

UV = """#!/bin/sh
echo "$*" >>"$CALLS"
[ -z "$BROKEN" ] || { echo "no network" >&2; exit 2; }
while [ "$1" != --target ]; do shift; done
mkdir "$2/debugpy"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    fake_uv.play(tmp_path, monkeypatch, UV)
    (tmp_path / "state").mkdir()
    return load({"WINDTUNNEL_STATE": str(tmp_path / "state")}, client=False)


def test_it_is_installed_once_for_each_interpreter_without_any_dependency(
    settings: Settings, tmp_path: Path
) -> None:
    first = debugpy_wheel.make(settings, "/one/python")
    assert (first / "debugpy").is_dir() and first.is_relative_to(settings.state / "debugger")
    assert debugpy_wheel.make(settings, "/one/python") == first
    (call,) = (tmp_path / "calls").read_text().splitlines()
    for option in ("--python /one/python", "--no-deps", "--require-hashes", "--target"):
        assert option in call
    assert debugpy_wheel.make(settings, "/other/python") != first
    assert not first.exists(), "a former one is deleted"


def test_the_lock_pins_it_by_hash() -> None:
    line = pinned_wheels.requirements(["debugpy"]).strip()
    assert line.startswith("debugpy==1.") and line.count(" --hash=sha256:") >= 4


def test_without_the_registry_it_is_one_message_and_nothing_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(WindtunnelError, match="uv could not fetch debugpy"):
        debugpy_wheel.make(settings, "/one/python")
    assert list((settings.state / "debugger").iterdir()) == []
