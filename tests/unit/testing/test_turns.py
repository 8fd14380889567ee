"""Tests of several processes take turns on one stack, whatever they do to their own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
#: The fixture of the plugin, for tests that need no stack.
CONFTEST = """
import os
import pytest

@pytest.fixture(scope="session")
def windtunnel(pytestconfig):
    from windtunnel.testing.options import ALONE
    return lambda: pytestconfig.stash.get(ALONE, None)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "testing"


def test_a_process_that_a_test_has_forked_does_not_keep_the_turn(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from windtunnel.testing import turns\n"
        "with turns.turn(Path(sys.argv[1]), True):\n"
        "    if len(sys.argv) > 2 and os.fork() == 0:\n"
        "        os.close(1); os.close(2); sys.stdin.read(); os._exit(0)\n"
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
