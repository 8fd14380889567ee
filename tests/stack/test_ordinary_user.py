"""A fresh clone, used by an ordinary user with an empty home folder: `./dev` does all the set-up, and nothing else is typed.

Its PostgreSQL and Valkey come from wheels, whatever this machine has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT, Stack, until
from windtunnel.stack import leftovers
from windtunnel.stack.ports import free_offset
from windtunnel.stack.real_binary import real_binary

NOBODY = 65534
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class OrdinaryStack(Stack):
    """The same commands, each by `./dev` of the clone and as the user `nobody`."""

    def command(
        self, *words: str, timeout: float = 300.0, check: bool = False, **more: str
    ) -> subprocess.CompletedProcess[str]:
        become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        return super().command(
            *become, str(self.root / "dev"), *words, timeout=timeout, check=check, **more
        )

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            k: v
            for k, v in os.environ.items()
            if k.endswith(("_CERT", "_CERTS_FILE", "_CERT_FILE", "_proxy")) or k == "LANG"
        }
        return {**kept, **self.variables}


def usable_python() -> bool:
    """Whether the system has a Python for everybody, new enough and able to make virtual environments."""
    code = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    return (
        subprocess.run(
            ["python3", "-c", code], env={"PATH": SYSTEM_PATH}, capture_output=True
        ).returncode
        == 0
    )


@pytest.fixture(scope="module")
def ordinary() -> Iterator[OrdinaryStack]:
    if os.geteuid() != 0:
        pytest.skip(
            "only root can become another user; as an ordinary user every other test shows this"
        )
    if not usable_python():
        pytest.skip("no Python 3.11 or newer with venv for every user on this machine")
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-ordinary-"))
    folder.chmod(0o755)
    # A path with a space; beside our files a docker compose.yaml and a .env that mean something else.
    clone = folder / "a clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    (clone / ".env").write_text(
        "WORKERS=nonsense\nPORT_OFFSET=nonsense\nWINDTUNNEL_STATE=/nonsense\n"
    )
    (folder / "bin").mkdir()
    shutil.copy(real_binary(), folder / "bin" / "process-compose")
    (folder / "home").mkdir()
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
    path = f"{folder / 'bin'}:{SYSTEM_PATH}"
    stack = OrdinaryStack(
        folder / "state",
        free_offset(),
        clone,
        HOME=str(folder / "home"),
        PATH=path,
        WINDTUNNEL_NO_NIX="1",
    )
    yield stack
    stack.destroy()
    shutil.rmtree(folder)


def test_up_wait_and_run_are_all_that_is_typed(ordinary: OrdinaryStack) -> None:
    up = ordinary.command("process-compose", "up", "-D", timeout=900)
    assert up.returncode == 0, up.stderr
    assert ordinary.command("windtunnel", "wait").returncode == 0
    assert ordinary.command("windtunnel", "run", "hello").returncode == 0
    processes = leftovers.find(ordinary.settings)
    assert {p.uids().real for p in processes} == {NOBODY}
    cache = ordinary.root.parent / "home" / ".cache" / "windtunnel" / "servers"
    programs = {p.name(): Path(p.exe()) for p in processes}
    for server in ("postgres", "valkey-server"):
        assert programs[server].is_relative_to(cache), "the wheel's, not the machine's"
    assert ordinary.command("process-compose", "process", "scale", "worker", "2").returncode == 0


def test_the_next_up_clears_what_a_crash_left(ordinary: OrdinaryStack) -> None:
    run_id = ordinary.trigger("steady", seconds=600)
    until("the task runs", lambda: ordinary.tasks("steady", run_id)[0].state == "running")
    before = leftovers.find(ordinary.settings)
    for process in before:
        if process.name().startswith("process-compose"):
            process.kill()
    again = ordinary.command("process-compose", "up", "-D", check=True)
    assert "ending what it left" in again.stderr
    assert [process for process in before if process.is_running()] == []
    assert ordinary.command("windtunnel", "wait").returncode == 0
    assert ordinary.finished("steady", run_id, 90) == "failed", "it has no retries"


def test_down_leaves_no_process_and_a_clean_checkout(ordinary: OrdinaryStack) -> None:
    assert ordinary.down().returncode == 0
    assert leftovers.find(ordinary.settings) == []
    git = ["git", "-c", f"safe.directory={ordinary.root}", "status", "--porcelain"]
    listed = subprocess.run(
        git, cwd=ordinary.root, capture_output=True, text=True, check=True
    ).stdout
    assert listed.splitlines() == ["?? compose.yaml"]
