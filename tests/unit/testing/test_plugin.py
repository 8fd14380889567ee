"""The plugin costs nothing where it is not used, and keeps its folders in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from windtunnel.project.environment import FOLDER as ENVIRONMENTS
from windtunnel.system import procfs
from windtunnel.testing import places, up_command

pytest_plugins = ["pytester"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "testing"


def test_a_session_that_uses_no_stack_loads_only_two_small_files() -> None:
    code = (
        "import sys, time, pytest; before = set(sys.modules); start = time.perf_counter(); "
        "import windtunnel.testing.plugin; took = time.perf_counter() - start; "
        "print(took, *sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, *loaded = done.stdout.split()
    ours = [name for name in loaded if name.startswith("windtunnel")]
    assert ours == [
        "windtunnel",
        "windtunnel.testing",
        "windtunnel.testing.options",
        "windtunnel.testing.plugin",
    ]
    assert not {"airflow", "httpx", "psutil", "celery"} & set(loaded)
    assert float(took) < 0.5, "it is 1 ms on an idle machine"


def test_a_session_that_uses_no_stack_makes_no_folder(
    base: Path, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    assert not base.exists()


@pytest.mark.parametrize(
    "option",
    ["--windtunnel=elsewhere", "--windtunnel-workers=0", "--windtunnel-start-timeout=soon"],
)
def test_an_option_that_cannot_be_used_is_named(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess(option)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*{option.partition('=')[0]}*"])
    assert "invalid _" not in done.stderr.str(), "the name of a function of ours"


def test_the_next_session_removes_what_a_dead_one_has_left(base: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    places.begin_session("killed", dead.pid)
    state = places.state_of("killed", tmp_path)
    dead.communicate()
    places.begin_session("next", os.getpid())
    assert not state.exists() and not (base / "killed").exists()
    places.end_session("next")
    assert not (base / "next").exists()


def test_a_session_that_lives_is_left_alone(base: Path, tmp_path: Path) -> None:
    places.begin_session("living", os.getpid())
    state = places.state_of("living", tmp_path)
    places.begin_session("other", os.getpid())
    assert state.exists()


def test_a_pid_that_another_process_has_by_now_is_not_the_session(base: Path) -> None:
    places.begin_session("old", os.getpid())
    own = procfs.read(os.getpid())
    assert own is not None
    owner = {"pid": os.getpid(), "start": own.start - 1, "boot": procfs.boot_id()}
    (base / "old" / places.OWNER).write_text(json.dumps(owner))
    places.begin_session("next", os.getpid())
    assert not (base / "old").exists()


@pytest.mark.parametrize("text", ["[", "{}", ""])
def test_a_session_without_a_readable_owner_is_removed(base: Path, text: str) -> None:
    places.begin_session("odd", os.getpid())
    (base / "odd" / places.OWNER).unlink()
    if text:
        (base / "odd" / places.OWNER).write_text(text)
    places.begin_session("next", os.getpid())
    assert not (base / "odd").exists()


def test_stacks_of_one_project_share_environments_until_nobody_uses_them(
    base: Path, tmp_path: Path
) -> None:
    for session in ("one", "two"):
        places.begin_session(session, os.getpid())
    shared = {places.state_of(name, tmp_path) / ENVIRONMENTS for name in ("one", "two")}
    assert len(shared) == 2 and len({path.resolve() for path in shared}) == 1
    old, used, lock = (base / ENVIRONMENTS / name for name in ("old", "used", "old.lock"))
    for folder in (old, used):
        folder.mkdir()
    lock.touch()
    rests = places.state_of(places.REUSED, tmp_path)
    long_ago = time.time() - places.UNUSED_SECONDS - 60
    for path in (old, lock, rests):
        os.utime(path, (long_ago, long_ago))
    places.begin_session("three", os.getpid())
    assert not old.exists() and not lock.exists() and used.exists()
    assert not rests.parent.exists(), "a reused stack that nobody uses any more"


def test_a_reused_stack_that_somebody_uses_stays(base: Path, tmp_path: Path) -> None:
    places.begin_session("one", os.getpid())
    state = places.state_of(places.REUSED, tmp_path)
    long_ago = time.time() - places.UNUSED_SECONDS - 60
    os.utime(state, (long_ago, long_ago))
    places.note_use(state)
    places.begin_session("two", os.getpid())
    assert state.exists()


def test_a_kept_stack_stays_as_long_as_it_runs(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.begin_session("kept", os.getpid())
    state = places.state_of("kept", tmp_path)
    places.keep_session("kept")
    monkeypatch.setattr(places, "is_running", lambda path: path == state)
    places.begin_session("two", os.getpid())
    assert state.exists()
    monkeypatch.setattr(places, "is_running", lambda path: False)
    places.begin_session("three", os.getpid())
    assert not state.exists()


def test_the_end_of_a_session_names_its_own_stacks_only(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "is_running", lambda state: True)
    own, other = tmp_path / "own", tmp_path / "other"
    begun = [places.state_of("this", own), places.state_of(places.REUSED, own)]
    places.state_of(places.REUSED, other)
    places.state_of("another", other)
    assert places.running("this", own) == begun


def test_a_command_is_named_as_the_person_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(up_command, "program", lambda: "/venv/bin/windtunnel")
    assert up_command.spoken() == "/venv/bin/windtunnel"
    (tmp_path / "dev").touch()
    assert up_command.spoken() == f"{tmp_path}/dev windtunnel"


def test_a_start_that_takes_long_says_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    log = tmp_path / "up.log"
    progress = up_command.Progress(log, said.append)
    log.write_text("windtunnel: preparing\n")
    progress.show()
    assert said == []
    monkeypatch.setattr(up_command, "SILENT_SECONDS", 0.0)
    progress.show()
    progress.show()
    log.write_text("windtunnel: preparing\nwindtunnel: migrating the database\n")
    progress.show()
    assert said == ["windtunnel: preparing", "windtunnel: migrating the database"]


def test_a_line_about_the_start_reaches_the_terminal_from_a_process_of_xdist_too(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        "from windtunnel.testing import terminal\n"
        "def test_one(pytestconfig):\n"
        "    terminal.say(pytestconfig, 'windtunnel: starting', of_all=True)\n"
        "    terminal.say(pytestconfig, 'windtunnel: waits for its turn')\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "1")
    done.assert_outcomes(passed=1)
    assert "windtunnel: starting" in done.stderr.str()
    assert "waits for its turn" not in done.stderr.str() + done.stdout.str()


def test_a_project_without_dags_is_refused_with_what_pytest_offers(
    base: Path, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_one(windtunnel): pass")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*has no DAG folder: make dags/, or *`windtunnel_project`*"])
