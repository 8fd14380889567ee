"""A component ends as Airflow's own command would, only sooner, and forks with its pages shared."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from windtunnel.services import migration_gate
from windtunnel.settings import Settings, load

PROGRAM = """
import atexit, gc, os, sys, threading, time
from windtunnel.runtime.component import QuickEnd

class Late:
    def __del__(self):
        print("taken apart")

end = QuickEnd()
keep = Late(); keep.me = keep
def program():
    atexit.register(lambda: print("exit handler"))
    threading.Timer(0.2, lambda: print("thread")).start()
    if sys.argv[1] == "forked" and os.fork() == 0:
        sys.exit(5)
    if sys.argv[1] == "forked":
        print("child ended with", os.waitstatus_to_exitcode(os.wait()[1]))
    exec(sys.argv[2])
end.run(program)
"""


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no use')", 1, "no use"),
        ("raise ValueError('broken')", 1, "ValueError: broken"),
    ],
)
def test_it_ends_with_the_programs_exit_code(statement: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "", statement],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout.splitlines() == ["thread", "exit handler"], (
        "threads and handlers as ever, nothing taken apart"
    )


def test_a_forked_childs_end_is_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "forked", "sys.exit(3)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 3
    assert "child ended with 5" in done.stdout


def test_an_interrupt_stays_an_interrupt() -> None:
    statement = "os.kill(os.getpid(), 2); time.sleep(5)"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "", statement],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == -2


def test_what_is_there_at_the_first_fork_is_left_alone_by_the_collector() -> None:
    program = """
import gc, os
from windtunnel.runtime import component
component.calm_collector()
def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
before = gc.get_freeze_count()
fork()
frozen = gc.get_freeze_count()
more = [[] for _ in range(1000)]
fork()
print(before, frozen > 1000, gc.get_freeze_count() <= frozen, gc.get_threshold()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.split() == ["0", "True", "True", "50000"]


def test_the_command_line_says_what_it_is() -> None:
    """By it the reconciler counts schedulers, and a person finds the process."""
    program = """
import sys, types
fake = types.ModuleType("airflow.__main__")
fake.main = lambda: print(sys.argv, open("/proc/self/cmdline").read().replace(chr(0), " ").strip())
sys.modules["airflow"], sys.modules["airflow.__main__"] = types.ModuleType("airflow"), fake
sys.argv = ["x", "-m", "windtunnel.runtime.component"]
from windtunnel.runtime import component
component.main(["scheduler", "--skip-serve-logs"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )
    assert (
        done.stdout.strip()
        == "['airflow', 'scheduler', '--skip-serve-logs'] airflow scheduler --skip-serve-logs"
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return load(
        {"WINDTUNNEL_STATE": str(tmp_path), "WINDTUNNEL_ROOT": str(Path(__file__).parents[3])},
        client=False,
    )


def test_a_component_loads_while_the_database_is_migrated_and_waits_for_its_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PC_PROC_NAME", "migrate")
    (settings.run / "migrated").write_text("1:1")  # a former run's
    loading, order = threading.Event(), list[str]()

    def load_modules() -> None:
        order.append("loaded")
        loading.set()

    def migrate() -> None:
        loading.wait(20)
        time.sleep(3 * migration_gate.POLL_SECONDS)
        order.append("migrated")
        migration_gate.announce(settings)

    threading.Thread(target=migrate).start()
    assert migration_gate.wait(settings, load_modules)
    assert order == ["loaded", "migrated"]
    assert migration_gate.wait(settings, load_modules)
    assert order.count("loaded") == 1, "started again later, there is nothing to wait for"


def test_a_workers_celery_waits_for_the_run_that_its_supervisor_belongs_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PC_PROC_NAME", "migrate")
    migration_gate.announce(settings)
    env = {"PC_PROC_NAME": "worker", migration_gate.RUN: migration_gate.run_of(os.getppid())}
    migration_gate.wait(settings, lambda: pytest.fail("nothing to wait for"), env)
    assert not migration_gate.said_for(settings, migration_gate.run_of(os.getpid()))


def test_without_process_compose_nothing_is_waited_for_or_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PC_PROC_NAME", raising=False)
    migration_gate.announce(settings)
    assert not (settings.run / "migrated").exists()
    assert not migration_gate.wait(settings, lambda: pytest.fail("nothing to wait for"), {}), (
        "it is not known, so Airflow has to look"
    )


def test_calls_at_any_depth_cost_no_pages_once_their_frames_have_room() -> None:
    program = Path(__file__).parents[1] / "programs" / "deep_calls.py"
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, str(program), mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("room", "plain")
    }
    assert faults["room"] < 10
    # CPython 3.13 keeps a spare chunk since a patch release (gh-142183); older ones do not get it.
    if sys.version_info < (3, 13):
        assert faults["plain"] >= 50, (
            "Python keeps a spare chunk for its frames now: remove with_room"
        )
