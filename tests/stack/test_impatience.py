"""A test that waits for a retry and for sensors, in a project of its own and on real workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.stack_fixture import ROOT

DAG_FILE = """
from datetime import timedelta
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import Param, dag, get_current_context, task

looks = []

class Deferred(FileSensor):
    def execute(self, context):
        # The sensor gives this to its trigger.
        self.log.info("a look each %s s", self.poke_interval)
        return super().execute(context)

@dag(schedule=None, params={"file": Param("/none")})
def waiting():
    @task(retries=1, retry_delay=timedelta(seconds=60))
    def flaky():
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError("the first try fails")

    @task.sensor(poke_interval=60, mode="poke")
    def poke():
        looks.append(1)
        return len(looks) > 1

    @task.sensor(poke_interval=60, mode="reschedule")
    def reschedule():
        return get_current_context()["task_reschedule_count"] > 0

    flaky(), poke(), reschedule()
    place = {"filepath": "{{ params.file }}", "fs_conn_id": "fs"}
    Deferred(task_id="deferred", poke_interval=60, deferrable=True, **place)

waiting()
"""
TEST_FILE = """
import pytest

SAID = "windtunnel: waiting is 100 times shorter for a test: "
WAITING = {"poke": "running", "reschedule": "up_for_reschedule", "flaky": "up_for_retry", "deferred": "deferred"}

@pytest.fixture(scope="session")
def windtunnel_environment():
    return {"WORKER_CONCURRENCY": "2"}

@pytest.fixture
def file(windtunnel, tmp_path):
    with windtunnel.connection("fs", "fs", extra='{"path": "/"}'):
        yield tmp_path / "file"

def test_impatient(windtunnel, file):
    with windtunnel.impatient(factor=100):
        run = windtunnel.start("waiting", conf={"file": str(file)})
        run.wait_for("deferred", "deferred")
        file.touch()
        result = run.result(timeout=50).assert_success()
    print("seconds:", result.duration, result.durations)
    assert result.duration < 50 and result.impatience == 100
    assert result["flaky"].tries == 2
    assert "a look each 0.6 s" in result["deferred"].log
    for label in result.tasks:
        name = "retry_delay" if label == "flaky" else "poke_interval"
        assert result[label].log_of(1).count(f"{SAID}{name} 60 s to 0.6 s") == 1, result[label].log_of(1)

def test_patient(windtunnel, file):
    run = windtunnel.start("waiting", conf={"file": str(file)})
    for label, state in WAITING.items():
        run.wait_for(label, state)
    assert "a look each 60.0 s" in windtunnel.airflow.log("waiting", run.run_id, "deferred")
    with pytest.raises(AssertionError, match="has not ended after 15 s"):
        run.result(timeout=15)
    assert {task.label: task.state for task in run.instances()} == WAITING
    file.touch()
    with windtunnel.impatient(factor=50):
        with windtunnel.impatient(factor=100):
            result = windtunnel.run("waiting", conf={"file": str(file)}, timeout=50).assert_success()
    assert result.impatience == 100
"""


def test_a_retry_and_sensors_of_a_minute_end_in_seconds(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "waiting.py").write_text(DAG_FILE)
    (tmp_path / "test_waiting.py").write_text(TEST_FILE)
    env = os.environ | {"WINDTUNNEL_ROOT": str(ROOT), "WINDTUNNEL_CACHE": str(tmp_path / "cache")}
    env.pop("WINDTUNNEL_STATE", None)
    # The root keeps the settings of our own tests away.
    arguments = ["-s", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert re.search(r"\b2 passed\b", done.stdout)
