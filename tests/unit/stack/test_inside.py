"""The variables of a shell, or of one of Airflow's commands, beside a stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from windtunnel.project import record
from windtunnel.project.record import Record
from windtunnel.settings import Settings, load
from windtunnel.stack import inside
from windtunnel.variables import proxies


def test_a_project_brings_its_variables_and_its_environment_first_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ".windtunnel"
    state.mkdir()
    home = state / "environments" / "abc" / "bin"
    known = Record(
        root=str(tmp_path),
        python=str(home / "python"),
        variables={"MINE": "project", "TAKEN": "project", "WORKERS": "9"},
        python_path=["/a", "/b"],
    )
    (state / record.NAME).write_text(known.text())
    monkeypatch.setenv("TAKEN", "person")
    monkeypatch.setenv("PATH", f"/usr/bin:{home}:/bin")
    found = inside.variables(load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False))
    assert found["PATH"] == f"{home}:/usr/bin:/bin"
    assert found["VIRTUAL_ENV"] == str(home.parent)
    assert found["PYTHONPATH"] == "/a:/b"
    assert found["MINE"] == "project"
    assert "TAKEN" not in found, "what the person exports counts"
    assert found["WORKERS"] == "1", "what the stack decides counts"


def test_a_proxy_of_the_shell_or_of_the_project_never_stands_before_the_stacks_own_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*proxies.EXCEPTIONS, "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False)
    known = Record(str(tmp_path), "python", {"HTTP_PROXY": "http://a", "NO_PROXY": ".example.org"})
    settings.state.mkdir()
    (settings.state / record.NAME).write_text(known.text())
    entered = {"WINDTUNNEL_STATE": str(settings.state), "WINDTUNNEL_PROJECT": str(tmp_path)}
    with monkeypatch.context() as scope:
        scope.chdir(tmp_path)
        record.enter(entered)
    assert entered["no_proxy"] == entered["NO_PROXY"] == ".example.org,127.0.0.1,localhost"
    assert inside.variables(settings)["no_proxy"] == entered["no_proxy"]
    monkeypatch.setenv("https_proxy", "http://b")
    monkeypatch.setenv("NO_PROXY", "intranet, localhost")
    assert settings.environment()["NO_PROXY"] == "intranet,localhost,127.0.0.1"
    both = "intranet,localhost,.example.org,127.0.0.1"
    assert inside.variables(settings)["NO_PROXY"] == both
    monkeypatch.setenv("NO_PROXY", "*")
    assert inside.variables(settings)["no_proxy"] == "*"


def unmarked(settings: Settings) -> dict[str, str]:
    found = inside.variables(settings)
    return {name: found[name] for name in found if not name.startswith("WINDTUNNEL_SHELL_")}


def test_without_a_project_they_are_those_of_the_stack(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    assert unmarked(settings) == settings.environment()
    assert "PATH" not in inside.variables(settings)
    named = load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False)
    assert unmarked(named) == named.environment(), "no record yet"
    assert os.environ.get("MINE") is None


def test_what_no_person_named_is_marked_so_that_another_checkouts_dev_drops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in inside.DERIVED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGS_FOLDER", "/named")
    settings = load({"WINDTUNNEL_PROJECT": str(tmp_path)}, client=False)
    found = inside.variables(settings)
    marks = {name: value for name, value in found.items() if name.startswith("WINDTUNNEL_SHELL_")}
    assert marks == {
        "WINDTUNNEL_SHELL_STATE": str(tmp_path / ".windtunnel"),
        "WINDTUNNEL_SHELL_PROJECT": str(tmp_path),
        "WINDTUNNEL_SHELL_PORT_OFFSET": "0",
    }
