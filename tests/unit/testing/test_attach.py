"""`--windtunnel=attach` joins the stack of the project that is tested, and no other one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from windtunnel import settings as of_settings
from windtunnel.clients import process_compose
from windtunnel.errors import NoStackError, UsageError
from windtunnel.settings import STACK_FILE
from windtunnel.testing import faults
from windtunnel.testing.session import Session


class Config:
    """pytest's, as far as it is used."""

    def __init__(self) -> None:
        self.stash: dict[Any, Any] = {}

    def getoption(self, name: str) -> Any:
        return {"--windtunnel": "attach", "--windtunnel-start-timeout": 300.0}.get(name)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """One in a project's folder, as `./dev` of a checkout lets it run there."""
    checkout = tmp_path / "checkout"
    monkeypatch.setenv("WINDTUNNEL_ROOT", str(checkout))
    for name in ("WINDTUNNEL_STATE", "WINDTUNNEL_SHELL_STATE"):
        monkeypatch.setenv(name, str(checkout / ".state"))
    (checkout / ".state" / "run").mkdir(parents=True)
    (checkout / ".state" / STACK_FILE).write_text('{"port_offset": 0}')
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(faults, "bring_back", lambda _: None)
    made = Session(cast(pytest.Config, Config()), tmp_path / "project", {})
    monkeypatch.setattr(made, "_require_ready", lambda _: None)
    return made


def run(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_settings, "is_running", lambda path: path == state)
    monkeypatch.setattr(process_compose, "is_running", lambda path: path == state)


def test_the_stack_of_the_checkout_is_not_that_of_a_project(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "checkout" / ".state", monkeypatch)
    with pytest.raises(NoStackError, match=r"project/\.windtunnel.*start one with `windtunnel up`"):
        session._attach()


def test_a_named_stack_that_serves_another_folder_is_refused(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "other" / ".windtunnel"
    (state / "run").mkdir(parents=True)
    record = {"port_offset": 0, "WINDTUNNEL_PROJECT": str(tmp_path / "other")}
    (state / STACK_FILE).write_text(json.dumps(record))
    monkeypatch.setenv("WINDTUNNEL_STATE", str(state))
    run(state, monkeypatch)
    with pytest.raises(UsageError, match=r"serves .*/other, not .*/project: `cd .*/project && "):
        session._attach()
    record["WINDTUNNEL_PROJECT"] = str(tmp_path / "project")
    (state / STACK_FILE).write_text(json.dumps(record))
    assert session._attach().state == state


def test_in_the_checkout_it_is_the_stack_that_dev_means(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another Airflow of the lock, its state lies elsewhere."""
    session.project = tmp_path / "checkout"
    state = tmp_path / "checkout" / ".airflow" / "state"
    (state / "run").mkdir(parents=True)
    for name in ("WINDTUNNEL_STATE", "WINDTUNNEL_SHELL_STATE"):
        monkeypatch.setenv(name, str(state))
    run(state, monkeypatch)
    assert session._attach().state == state
