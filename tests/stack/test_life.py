"""From `up` to `down`, and from a crash to the next `up`: nothing is left, nothing needs a hand."""

from __future__ import annotations

import os
import signal
import subprocess

import psutil

from tests.stack_fixture import NewStack, Stack, until
from windtunnel.stack import leftovers


def listening(stack: Stack) -> set[int]:
    ours = {port for _, port in stack.settings.ports.items()}
    return {
        c.laddr.port
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr
    } & ours


def test_after_down_no_process_and_no_port_is_left_and_git_is_clean(new_stack: NewStack) -> None:
    def tracked() -> str:
        return subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=stack.root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    stack = new_stack()
    before = tracked()
    stack.up()
    assert listening(stack) == {port for _, port in stack.settings.ports.items()}
    assert stack.run("hello")[1] == "success"
    stack.scale(2)
    assert stack.down().returncode == 0
    assert leftovers.find(stack.settings) == []
    assert listening(stack) == set()
    assert tracked() == before


def name(process: psutil.Process) -> str:
    """Empty where it has ended: a probe among the found ones lives for a moment."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def test_after_a_crash_of_the_supervisor_the_next_up_says_what_it_found_and_comes_up(
    new_stack: NewStack,
) -> None:
    stack = new_stack()
    stack.up()
    (supervisor,) = (
        p for p in leftovers.find(stack.settings) if name(p).startswith("process-compose")
    )
    os.kill(supervisor.pid, signal.SIGKILL)
    until("it is gone", lambda: not supervisor.is_running(), 10)
    left = {p.pid for p in leftovers.find(stack.settings)}
    assert left, "a crash of the supervisor leaves its processes behind"
    again = stack.command("process-compose", "up", "-D", check=True)
    assert "ending what it left" in again.stderr and "scheduler" in again.stderr
    assert not left & set(psutil.pids())
    stack.command("windtunnel", "wait", check=True)
    assert stack.run("hello")[1] == "success"


def test_a_second_up_of_a_running_stack_is_refused_and_disturbs_nothing(stack: Stack) -> None:
    again = stack.command("process-compose", "up", "-D")
    assert again.returncode == 1 and "running already" in again.stderr
    assert stack.run("hello")[1] == "success"
