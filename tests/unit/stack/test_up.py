"""Two starts that meet: of one stack, and of two stacks of one user."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import load
from windtunnel.stack import launcher, leftovers, up
from windtunnel.system import procfs
from windtunnel.system.cache_folder import cache


def test_a_stack_that_opens_its_socket_in_this_moment_is_said_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    answers = [False, False]
    monkeypatch.setattr(process_compose, "answers", lambda _: answers.pop() if answers else True)
    monkeypatch.setattr(process_compose, "require", lambda _: None)
    monkeypatch.setattr(leftovers, "supervisor", lambda _: procfs.read(os.getpid()))
    with pytest.raises(WindtunnelError, match="this stack is running already"):
        up._prepare(settings)


def test_another_stack_may_choose_its_ports_while_this_one_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PORT_OFFSET", raising=False)
    settings = load(client=False)

    def start(*_: Any) -> tuple[Any, float]:
        with (cache() / "ports.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return settings, 0.0

    def migrated(*_: Any) -> int:
        with (cache() / "ports.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Exit.OK

    monkeypatch.setattr(launcher, "_start", start)
    monkeypatch.setattr(up, "migrated", migrated)
    assert launcher.launch(["up", "-D"]) == Exit.OK
