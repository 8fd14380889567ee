"""Whatever ends a test session, and whichever process comes to its end: the stack ends once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from windtunnel.runtime import impatience_file
from windtunnel.testing import interrupts, places

pytest_plugins = ["pytester"]
#: A stack that makes its folder, and whose end is a line in a file.
CONFTEST = """
import os
from pathlib import Path
import pytest
from windtunnel.testing import places
from windtunnel.testing.options import OWNER, SESSION

real = places.end_session

def end(session):
    with open("ends", "a") as file:
        file.write(f"{os.getpid()}\\n")
    real(session)

places.end_session = end

@pytest.fixture(scope="session")
def windtunnel(pytestconfig):
    folder = places.begin_session(pytestconfig.stash[SESSION], pytestconfig.stash[OWNER])
    Path("folder").write_text(str(folder))
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "testing"


def folders(base: Path) -> list[str]:
    return [path.name for path in base.iterdir() if path.is_dir()]


def test_a_forked_process_that_runs_to_the_end_of_pytest_ends_no_stack(
    base: Path, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import os, sys\n"
        "def test_forks(windtunnel):\n"
        "    if (pid := os.fork()) == 0:\n"
        "        sys.exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    assert os.path.exists(open('folder').read())\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert done.ret == 0, done.stdout.str()
    assert len((pytester.path / "ends").read_text().split()) == 1
    assert folders(base) == []


def test_a_stack_that_a_forked_process_has_started_ends_too(
    base: Path, pytester: pytest.Pytester
) -> None:
    """As pytest-forked runs each test."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import os\n"
        "def test_forked(request):\n"
        "    if (pid := os.fork()) == 0:\n"
        "        request.getfixturevalue('windtunnel')\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    assert os.path.exists(open('folder').read())\n"
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    assert folders(base) == []


def test_a_second_ctrl_c_does_not_stop_the_end_of_the_stack() -> None:
    code = (
        "import os, signal; from windtunnel.testing import interrupts\n"
        "with interrupts.held_back():\n"
        "    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "        os.kill(os.getpid(), each)\n"
        "    print('ended', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("ended\n", -signal.SIGTERM)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_would_kill_pytest_ends_it_as_ctrl_c_does(signum: signal.Signals) -> None:
    code = (
        "import os; from windtunnel.testing import interrupts; interrupts.end_as_ctrl_c()\n"
        "try:\n"
        f"    os.kill(os.getpid(), {int(signum)})\n"
        "except KeyboardInterrupt:\n"
        "    print('ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "ended\n"


def test_a_thread_that_runs_pytest_is_left_its_signals() -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            interrupts.end_as_ctrl_c()
            with interrupts.held_back():
                pass
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised == []


def test_a_session_whose_dead_process_nobody_reaps_is_removed(base: Path, tmp_path: Path) -> None:
    """In a container whose first process does not reap, it stays a zombie."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as zombie:
        places.begin_session("killed", zombie.pid)
        zombie.kill()
        stat = Path(f"/proc/{zombie.pid}/stat")
        for _ in range(500):
            if ") Z " in stat.read_text():
                break
            time.sleep(0.01)
        places.begin_session("next", os.getpid())
        assert folders(base) == ["next"]


def test_the_block_of_a_dead_process_that_nobody_reaps_is_over(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from windtunnel.runtime import impatience_file\n"
        "impatience_file.hold(Path(sys.argv[1]), 10)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as zombie:
        while ") Z " not in Path(f"/proc/{zombie.pid}/stat").read_text():
            time.sleep(0.01)
        assert (tmp_path / impatience_file.NAME).exists()
        assert impatience_file.read(tmp_path).factor == impatience_file.NONE
