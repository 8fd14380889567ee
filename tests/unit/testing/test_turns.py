"""Tests of several processes and sessions take turns on one stack, whatever they do themselves."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
#: The fixture of the plugin, for tests that need no stack.
CONFTEST = """
import os
import time
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def windtunnel(pytestconfig):
    from windtunnel.testing.session import Session
    session = Session(pytestconfig, Path("/nowhere"), {})
    if session.mode == "reuse":
        session._begin_turn(Path("turns").absolute())
    return session._is_alone

def until(name):
    end = time.monotonic() + 30
    while not Path(name).exists():
        assert time.monotonic() < end, name
        time.sleep(0.01)
"""
#: Its end where the stack "runs".
STARTED = """
    from types import SimpleNamespace
    from windtunnel.testing.changes import Changes
    from windtunnel.testing.options import STACK
    pytestconfig.stash[STACK] = SimpleNamespace(
        settings="those of the stack", changes=Changes(None, None)
    )
    return pytestconfig.stash[STACK]
"""
REUSE = ("-p", "no:cacheprovider", "--windtunnel=reuse")


def until(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "testing"


def test_a_process_that_a_test_has_forked_does_not_keep_the_turn(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from windtunnel.testing import turns\n"
        "turn = turns.Turn(True, False, print)\n"
        "turn.folder = Path(sys.argv[1])\n"
        "turn.begin()\n"
        "if len(sys.argv) > 2 and os.fork() == 0:\n"
        "    os.close(1); os.close(2); sys.stdin.read(); os._exit(0)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen([*command, "fork"], stdin=subprocess.PIPE) as first:
        assert first.wait(30) == 0
        subprocess.run(command, check=True, timeout=20)


def test_a_test_that_asks_for_the_stack_while_it_runs_has_it_not_alone(
    base: Path, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.windtunnel_alone\n"
        "def test_alone(windtunnel):\n"
        "    assert windtunnel() is True\n"
        "def test_late(request):\n"
        "    assert request.getfixturevalue('windtunnel')() is False\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "1")
    done.assert_outcomes(passed=2)


def test_a_cache_folder_that_cannot_be_written_fails_the_tests_and_not_pytest(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file, so that also root cannot make the folder")
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    (pytester.path / "dags").mkdir()
    pytester.makepyfile("def test_one(windtunnel): pass\ndef test_other(): pass\n")
    for processes in ("0", "1"):
        done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", processes)
        done.assert_outcomes(passed=1, errors=1)
        done.stdout.fnmatch_lines(["*the stack's folder cannot be used*set WINDTUNNEL_CACHE*"])
        done.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_test_that_sets_another_cache_folder_does_not_hide_the_stack(
    base: Path, pytester: pytest.Pytester
) -> None:
    """A process of pytest-xdist would have put it where the one that ends it never looks."""
    other = base.parents[1] / "other"
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import os\n"
        f"os.environ['WINDTUNNEL_CACHE'] = {str(other)!r}\n"
        "def test_one(windtunnel):\n"
        f"    assert os.listdir({str(base)!r}) and not os.path.exists({str(other)!r})\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "1")
    done.assert_outcomes(passed=1)
    assert [path.name for path in base.iterdir() if path.is_dir()] == []
    assert not other.exists()


@pytest.fixture
def other(pytester: pytest.Pytester) -> list[str]:
    """A session whose test has the stack alone until a file `go` appears, or with others."""
    (pytester.path / "turns").mkdir()
    pytester.makeconftest(CONFTEST)
    (pytester.path / "test_other.py").write_text(
        "import pytest\n"
        "from pathlib import Path\n"
        "from conftest import until\n"
        "@pytest.mark.windtunnel_alone\n"
        "def test_alone(windtunnel):\n"
        "    assert windtunnel()\n"
        "    Path('began').touch()\n"
        "    until('go')\n"
        "    Path('ended').touch()\n"
        "def test_shared(windtunnel):\n"
        "    Path('began').touch()\n"
        "    until('go')\n"
        "    Path('ended').touch()\n"
    )
    return [sys.executable, "-m", "pytest", *REUSE, "test_other.py", "-k"]


def test_a_session_waits_for_the_test_of_another_one_that_has_the_stack_alone(
    pytester: pytest.Pytester, other: list[str]
) -> None:
    pytester.makepyfile(
        test_own="from pathlib import Path\n"
        "def test_first(windtunnel):\n"
        "    assert Path('ended').exists()\n"
        "def test_second(windtunnel):\n"
        "    assert Path('ended').exists()\n"
    )
    with subprocess.Popen([*other, "alone"], cwd=pytester.path) as first:
        until(pytester.path / "began")
        command = [sys.executable, "-m", "pytest", *REUSE, "test_own.py"]
        with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE) as second:
            assert second.stdout is not None
            for line in second.stdout:
                if b"another session uses the stack" in line:
                    break
            (pytester.path / "go").touch()
            second.stdout.read()
            assert second.wait(30) == 0 and first.wait(30) == 0


def test_what_another_session_leaves_when_it_is_killed_is_mended_before_the_next_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST.replace("return session._is_alone", STARTED))
    (pytester.path / "turns").mkdir()
    pytester.makepyfile(
        "mended = []\n"
        "def test_first(windtunnel):\n"
        "    from windtunnel.testing import mending\n"
        "    mending.mend = mended.append\n"
        "def test_without_it():\n"
        "    assert not mended\n"
        "def test_second(windtunnel):\n"
        "    assert mended == [windtunnel.settings]\n"
    )
    pytester.runpytest_subprocess(*REUSE).assert_outcomes(passed=3)


@pytest.mark.parametrize("helper", ["test_by_name", "test_by_request"])
def test_a_test_whose_helper_changes_the_stack_waits_for_the_tests_of_other_sessions(
    pytester: pytest.Pytester, other: list[str], helper: str
) -> None:
    """Its own text does not say so: it becomes alone while it runs."""
    pytester.makepyfile(
        test_own="from pathlib import Path\n"
        "def test_before(windtunnel):\n"
        "    pass\n"
        "def test_by_name(windtunnel):\n"
        "    Path('asks').touch()\n"
        "    assert windtunnel() is True and Path('ended').exists()\n"
        "def test_by_request(request):\n"
        "    Path('asks').touch()\n"
        "    assert request.getfixturevalue('windtunnel')() and Path('ended').exists()\n"
    )
    with subprocess.Popen([*other, "shared"], cwd=pytester.path) as first:
        until(pytester.path / "began")
        keys = ["-k", f"before or {helper}"]
        command = [sys.executable, "-m", "pytest", *REUSE, "test_own.py", *keys]
        with subprocess.Popen(command, cwd=pytester.path) as second:
            until(pytester.path / "asks")
            time.sleep(0.2)
            (pytester.path / "go").touch()
            assert second.wait(30) == 0 and first.wait(30) == 0


def test_of_two_tests_that_would_wait_for_each_other_one_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from windtunnel.testing import turns\n"
        "turn = turns.Turn(False, True, print)\n"
        "turn.folder = Path(sys.argv[1])\n"
        "turn.begin()\n"
        "print('began', flush=True)\n"
        "sys.stdin.readline()\n"
        "sys.exit(not turn.become_alone())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with contextlib.ExitStack() as stack:
        pair = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(2)
        ]
        for process in pair:
            assert process.stdout is not None and process.stdout.readline()
        for process in pair:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        assert sorted(process.wait(30) for process in pair) == [0, 1]


def test_a_test_whose_fixture_changes_the_stack_has_it_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from windtunnel.testing import turns\n"
        "def pytest_collection_modifyitems(items):\n"
        "    print([item.name for item in items if turns.is_alone(item)])\n"
    )
    pytester.makepyfile(
        "import pytest\n"
        "class TestShop:\n"
        "    @pytest.fixture(autouse=True)\n"
        "    def shop(self, windtunnel):\n"
        "        with windtunnel.variable('colour', 'blue'):\n"
        "            yield\n"
        "    def test_with_it(self): pass\n"
        "@pytest.fixture\n"
        "def other(tmp_path):\n"
        "    tmp_path.pool = 'of another thing'\n"
        "def test_without(windtunnel, other): pass\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--collect-only", "-q")
    done.stdout.fnmatch_lines(["[[]'test_with_it'[]]"])
