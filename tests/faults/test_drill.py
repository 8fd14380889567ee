"""`windtunnel drill` as a person uses it, on a running stack."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.stack_fixture import Stack, until
from windtunnel.health import checks


def test_it_shows_what_was_promised_and_seen_in_every_format(
    faults_stack: Stack, tmp_path: Path
) -> None:
    report, page = tmp_path / "drill.xml", tmp_path / "drill.html"
    done = faults_stack.command(
        *("windtunnel", "drill", "task-killed", "--json", "--junit", str(report)),
        *("--report", str(page)),
    )
    data = json.loads(done.stdout)
    assert data["version"] == 1
    [scenario] = data["scenarios"]
    assert (scenario["scenario"], scenario["row"]) == ("task-killed", "4")
    assert all(
        set(check) == {"promised", "seen", "ok"} and check["seen"] for check in scenario["checks"]
    )
    assert done.returncode == (0 if data["ok"] else 1)
    assert data["ok"], json.dumps(data, indent=1)
    [case] = ET.parse(report).getroot().findall("testcase")  # noqa: S314
    assert case.get("name") == "task-killed"
    assert case.find("failure") is None
    assert "promised" in done.stderr and "seen" in done.stderr
    text = page.read_text()
    assert "task-killed: a task&#39;s process is killed" in text
    assert ": sends SIGKILL to the process of retry.work" in text
    # The killed try and the one that succeeds, on the lane of their worker.
    [lane] = re.findall(
        r'<svg class="lane"[^>]*aria-label="worker-0">(.*?)\n</svg>', text, re.DOTALL
    )
    tries = re.findall(r'aria-label="retry\.work, try (\d), ([^"]*?), recorded as (\w+)', lane)
    assert tries == [
        ("1", "its process was cut short", "failed"),
        ("2", "its work ended", "success"),
    ]


@pytest.mark.parametrize("option", ["--report", "--junit"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_broken(
    faults_stack: Stack, tmp_path: Path, option: str
) -> None:
    done = faults_stack.command("windtunnel", "drill", "broker-away", option, str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "it is a folder" in done.stderr
    assert list(faults_stack.settings.run.glob("drill-*")) == []


@pytest.mark.long
def test_the_same_fault_is_played_on_airflows_own_settings_and_leaves_nothing(
    faults_stack: Stack, tmp_path: Path
) -> None:
    page, temporary = tmp_path / "drill.html", Path(tempfile.mkdtemp(prefix="wt-"))
    try:
        done = faults_stack.command(
            *("windtunnel", "drill", "task-killed", "long-task", "--stock", "--json"),
            *("--report", str(page)),
            timeout=580,
            TMPDIR=str(temporary),
        )
        assert list(temporary.iterdir()) == []
    finally:
        shutil.rmtree(temporary)
    data = json.loads(done.stdout)
    assert done.returncode == (0 if data["ok"] else 1), done.stderr
    there, nothing = (scenario["stock"] for scenario in data["scenarios"])
    assert {"promised": "the retry succeeds", "seen": "success at try 2", "ok": True} in there[
        "checks"
    ]
    assert nothing["checks"] == [] and "only we have" in nothing["skipped"]
    text = page.read_text()
    assert "Time line with Airflow&#39;s own settings" in text
    assert len(re.findall(r"\d: sends SIGKILL to the process of retry.work", text)) == 2


def test_it_refuses_while_other_runs_are_active(faults_stack: Stack) -> None:
    run = faults_stack.trigger("steady", seconds=20)
    done = faults_stack.command("windtunnel", "drill", "task-killed")
    assert done.returncode == 2
    assert "--yes" in done.stderr and "steady" in done.stderr
    assert faults_stack.finished("steady", run) == "success"


def test_ctrl_c_in_the_middle_heals_what_was_broken_and_writes_the_page(
    faults_stack: Stack, tmp_path: Path
) -> None:
    until("no run is active", lambda: not faults_stack.airflow.active_runs(), 60)
    until("the broker answers", lambda: checks.service(faults_stack.settings, "valkey") is None, 30)
    running = subprocess.Popen(
        ["windtunnel", "drill", "broker-away", "--report", str(tmp_path / "drill.html")],
        env=faults_stack.environment,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    # Not before it has begun: between fork and exec a signal would be lost.
    until("the drill has begun", lambda: list(faults_stack.settings.run.glob("drill-*")), 60)
    until(
        "the broker is stopped",
        lambda: checks.service(faults_stack.settings, "valkey") is not None,
        60,
        0.05,
    )
    os.killpg(running.pid, signal.SIGINT)
    _, told = running.communicate(timeout=240)
    assert running.returncode == 130, told
    assert "repairs the stack" in told
    text = (tmp_path / "drill.html").read_text()
    assert "interrupted" in text and "stops valkey" in text
    assert checks.service(faults_stack.settings, "valkey") is None
    assert faults_stack.run("hello")[1] == "success"
    assert list(faults_stack.settings.run.glob("drill-*")) == []


def test_unknown_scenarios_and_the_list(faults_stack: Stack) -> None:
    done = faults_stack.command("windtunnel", "drill", "earthquake")
    assert done.returncode == 2
    assert "earthquake" in done.stderr and "broker-away" in done.stderr
    listed = faults_stack.command("windtunnel", "drill", "--list")
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ("broker-away", "everything-killed", "soak"))
