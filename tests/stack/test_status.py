"""`windtunnel status` says what is wrong and what to do, to a person and to a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stack_fixture import Stack, until


@contextmanager
def stopped(stack: Stack, name: str) -> Iterator[None]:
    stack.compose.stop(name)
    try:
        yield
    finally:
        stack.compose.start(name)
        stack.command("windtunnel", "wait", "--timeout", "90", check=True)


def problem(stack: Stack, part: str) -> dict[str, Any]:
    return next(p for p in stack.status()["problems"] if p["part"] == part)


def test_a_healthy_stack_has_no_problem_and_shows_memory_and_load_of_each_worker(
    stack: Stack,
) -> None:
    stack.command("windtunnel", "wait", "--timeout", "60", check=True)
    done = stack.command("windtunnel", "status")
    assert done.returncode == 0 and "All is well." in done.stdout
    seen = stack.status()
    assert (seen["version"], seen["state"], seen["problems"]) == (1, "healthy", [])
    (worker,) = seen["workers"]
    assert worker["node"] == "worker-0" and worker["online"] and worker["memory_mib"] > 20
    assert (worker["load"], worker["concurrency"], worker["queues"]) == (0, 2, ["default"])


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        ("worker", "process-compose process start worker"),
        ("flower", "process-compose process start flower"),
        ("valkey", "process-compose process start valkey"),
    ],
)
def test_a_stopped_part_is_named_with_the_command_that_starts_it(
    stack: Stack, part: str, advice: str
) -> None:
    with stopped(stack, part):
        until(f"{part} is a problem", lambda: problem(stack, part), 20)
        assert problem(stack, part)["do"] == advice
        done = stack.command("windtunnel", "status", COLUMNS="200")
        assert done.returncode == 1
        assert advice in done.stdout and "not running" in done.stdout
    assert stack.status()["problems"] == []


def test_process_compose_itself_shows_a_stopped_part(stack: Stack) -> None:
    with stopped(stack, "flower"):
        assert not stack.compose.process("flower").is_running


def test_every_patch_is_applied_with_the_locked_versions(stack: Stack) -> None:
    from windtunnel.patches import catalogue

    seen = stack.status()["patches"]
    assert set(seen) == {
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "worker-0",
        "flower",
    }
    for process, found in seen.items():
        component = "worker" if process == "worker-0" else process
        assert set(found) == {
            name for name, patch in catalogue.PATCHES.items() if component in patch.components
        }, process
        assert {
            name: outcome for name, outcome in found.items() if outcome["state"] != "applied"
        } == {}, process
    findings = json.loads(stack.command("windtunnel", "doctor", "--json").stdout)["findings"]
    (patches,) = [finding for finding in findings if finding["name"] == "patches"]
    assert patches["ok"] and patches["detail"].endswith("applied, 0 skipped, 0 off")


@pytest.mark.parametrize("name", ["worker", "worker-0"])
def test_a_workers_log_is_shown_by_either_of_its_names(stack: Stack, name: str) -> None:
    words = ["process-compose", "process", "logs", name, "-n", "5"]
    assert stack.command(*words, timeout=30).stdout


def test_the_log_of_an_unknown_process_is_refused_with_the_names_that_there_are(
    stack: Stack,
) -> None:
    done = stack.command("process-compose", "process", "logs", "nope", timeout=30)
    assert done.returncode == 2 and "there are" in done.stderr and "scheduler" in done.stderr
