"""Celery's settings, the gate before each publish, and the repaired consumer's own parts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.brokers.valkey import Valkey
from windtunnel.ledger import ledger
from windtunnel.ledger.task_processes import TASK_VARIABLE
from windtunnel.runtime import broker_gate

ROOT = Path(__file__).resolve().parents[3]


def configured(
    tmp_path: Path, code: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process with this project's airflow.cfg, as every process of the stack does."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(exist_ok=True)
    for name in ("fernet-key", "api-secret-key", "jwt-secret", "flower-basic-auth"):
        (secrets / name).write_text("")
    (secrets / "broker-url").write_text("redis://:secret@127.0.0.1:1/0")
    (secrets / "database-url").write_text(
        "postgresql+psycopg2://airflow:secret@127.0.0.1:1/airflow"
    )
    (secrets / "result-backend").write_text(
        "db+postgresql+psycopg2://airflow:secret@127.0.0.1:1/airflow"
    )
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "WINDTUNNEL", "WORKER"))
    }
    env |= {
        "AIRFLOW_HOME": str(ROOT / "airflow-home"),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "WINDTUNNEL_STATE": str(tmp_path),
    }
    env |= {f"WINDTUNNEL_{n}_PORT": "1" for n in ("API", "FLOWER", "SCHEDULER_HEALTH")} | {
        "DAGS_FOLDER": str(ROOT / "dags")
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**env, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


CONFIG = """
import json
from windtunnel.runtime.celery_config import CELERY_CONFIG as c
t = c["broker_transport_options"]
print(json.dumps({"config": {k: c.get(k) for k in (
    "broker_url", "worker_consumer", "task_publish_retry_policy", "broker_connection_max_retries", "result_backend_always_retry",
    "worker_deduplicate_successful_tasks", "worker_cancel_long_running_tasks_on_connection_loss", "worker_max_tasks_per_child",
    "task_acks_late", "worker_prefetch_multiplier")}, "transport": {k: str(v) for k, v in t.items()}}))
"""


def test_the_settings_as_every_process_gets_them(tmp_path: Path) -> None:
    done = configured(tmp_path, CONFIG, WORKER_MAX_TASKS_PER_CHILD="7")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    config = found["config"]
    assert config["worker_consumer"] == "windtunnel.runtime.celery_consumer:ResilientConsumer"
    assert config["task_publish_retry_policy"]["max_retries"] is None
    assert config["broker_connection_max_retries"] is None
    assert config["result_backend_always_retry"] is True
    assert config["worker_deduplicate_successful_tasks"] is True
    assert config["worker_cancel_long_running_tasks_on_connection_loss"] is False
    assert config["task_acks_late"] is True
    assert config["worker_max_tasks_per_child"] == 7
    assert int(found["transport"]["socket_timeout"]) > 1, (
        "must exceed kombu's BRPOP time-out of 1 s"
    )
    assert "socket_keepalive_options" in found["transport"]


def test_what_a_person_exports_wins(tmp_path: Path) -> None:
    done = configured(
        tmp_path,
        CONFIG,
        AIRFLOW__CELERY__EXTRA_CELERY_CONFIG='{"broker_connection_max_retries": 3}',
    )
    assert json.loads(done.stdout.splitlines()[-1])["config"]["broker_connection_max_retries"] == 3


def test_a_teams_executor_gets_our_settings_and_its_own_broker(tmp_path: Path) -> None:
    """A team inherits nothing of `[celery] celery_config_options`: without the option it has Celery's stock settings."""
    code = """
from airflow.executors.base_executor import ExecutorConf
from airflow.providers.celery.executors.celery_executor_utils import app, create_celery_app
for conf in (app.conf, create_celery_app(ExecutorConf("team_a")).conf, create_celery_app(ExecutorConf("team_b")).conf):
    print(conf.broker_url, conf.worker_consumer, conf.broker_connection_max_retries)
"""
    team_a, team_b = "AIRFLOW__TEAM_A___CELERY__", "AIRFLOW__TEAM_B___CELERY__"
    variables = {
        "AIRFLOW__CORE__MULTI_TEAM": "True",
        f"{team_a}BROKER_URL": "redis://team-a:1/0",
        f"{team_a}CELERY_CONFIG_OPTIONS": "windtunnel.runtime.celery_config.OURS",
        f"{team_b}BROKER_URL": "redis://team-b:1/0",
    }
    done = configured(tmp_path, code, **variables)
    assert done.returncode == 0, done.stderr
    ours = "windtunnel.runtime.celery_consumer:ResilientConsumer None"
    assert done.stdout.splitlines()[-3:] == [
        f"redis://:secret@127.0.0.1:1/0 {ours}",
        f"redis://team-a:1/0 {ours}",
        "redis://team-b:1/0 celery.worker.consumer:Consumer 100",
    ]


def test_a_publish_without_a_broker_is_refused_at_once_and_kept(tmp_path: Path) -> None:
    code = """
import time
from airflow.providers.celery.executors.celery_executor_utils import app
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
start = time.monotonic()
try:
    app.tasks["execute_workload"].apply_async(args=("{}",), queue="default")
except AirflowTaskTimeout:
    print("kept", time.monotonic() - start)
"""
    # Making the result backend connects to it; here it is a file, since only the broker is away.
    done = configured(
        tmp_path, code, AIRFLOW__CELERY__RESULT_BACKEND=f"db+sqlite:///{tmp_path / 'results'}"
    )
    assert done.stdout, done.stderr
    word, seconds = done.stdout.split()[-2:]
    assert word == "kept", done.stderr
    # A ceiling for a busy machine: the first use loads modules.
    assert float(seconds) < 3.0


@pytest.fixture
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers every command with the one answer in the list."""
    answer: list[bytes] = [b"+PONG\r\n"]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                while data := client.recv(4096):
                    client.sendall(answer[0] * max(1, data.count(b"*")))

    threading.Thread(target=serve, daemon=True).start()
    yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", answer
    server.close()


@pytest.mark.parametrize(
    ("answer", "up"),
    [
        (b"+PONG\r\n", True),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", False),
        (b"-NOAUTH Authentication required.\r\n", True),
        (b"-MASTERDOWN Link with MASTER is down\r\n", False),
    ],
)
def test_which_answers_count_as_up(
    answering: tuple[str, list[bytes]], answer: bytes, up: bool
) -> None:
    url, answers = answering
    answers[0] = answer
    assert Valkey().answers(url, broker_gate.PROBE_SECONDS) is up


def test_a_silent_broker_is_down_within_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert not Valkey().answers(url, broker_gate.PROBE_SECONDS)
        assert time.monotonic() - start < 1.0


def test_the_gate_asks_once_a_second() -> None:
    asked: list[int] = []
    now = [100.0]

    def probe() -> bool:
        asked.append(1)
        return len(asked) > 1

    gate = broker_gate.Gate(probe, TimeoutError, clock=lambda: now[0])
    for _ in range(100):
        with pytest.raises(TimeoutError):
            gate(sender="x", body={})
    assert len(asked) == 1
    now[0] += broker_gate.CACHE_SECONDS
    gate()
    assert len(asked) == 2


def test_a_publish_that_was_cut_off_closes_the_connections_and_the_gate() -> None:
    now, closed = [100.0], []
    gate = broker_gate.Gate(lambda: True, TimeoutError, clock=lambda: now[0])
    gate.close = lambda: closed.append(now[0])
    gate()
    gate.published()
    gate()  # and this one never comes to its end
    with pytest.raises(TimeoutError):
        gate()
    assert closed == [100.0]
    now[0] += broker_gate.CUT_OFF_SECONDS
    gate()
    assert closed == [100.0], "one that was refused was not cut off"


def test_a_renewed_connection_does_not_forget_busy_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from celery.worker.consumer import Consumer

    from windtunnel.runtime.celery_consumer import ResilientConsumer

    def job(fd: int, accepted: bool) -> SimpleNamespace:
        process = SimpleNamespace(inqW_fd=fd, _is_alive=lambda: True)
        return SimpleNamespace(_write_to=process, _scheduled_for=None, _accepted=accepted)

    consumer = ResilientConsumer.__new__(ResilientConsumer)
    busy = {11, 12}
    from celery.worker import state

    class Request:
        id = "running"

    def forgets(self: Any) -> None:
        busy.clear()  # what AsynPool.flush does
        state.reserved_requests.clear()

    running = Request()
    state.active_requests.add(running)
    monkeypatch.setattr(Consumer, "on_close", forgets)
    consumer.pool = SimpleNamespace(
        _pool=SimpleNamespace(_busy_workers=busy, _cache={1: job(11, True), 2: job(12, False)})
    )
    try:
        consumer.on_close()
        assert busy == {11}
        assert running in state.reserved_requests, (
            "or worker_disable_prefetch would see a free slot"
        )
    finally:
        state.reserved_requests.clear()
        state.active_requests.clear()
        state.requests.clear()


def test_an_event_is_sent_once_and_not_for_ever() -> None:
    from windtunnel.runtime.celery_consumer import ResilientConsumer

    seen: list[object] = []
    dispatcher = SimpleNamespace(
        _publish=lambda *a, retry: seen.append(retry), buffer_while_offline=True
    )
    consumer = ResilientConsumer.__new__(ResilientConsumer)
    consumer.event_dispatcher = dispatcher
    consumer.event_dispatcher._publish({}, None, "key", retry=True, retry_policy={})
    assert seen == [False]
    assert dispatcher.buffer_while_offline is False


def test_the_ledger_from_receipt_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from windtunnel.runtime import celery_signals

    files = ledger.WorkerFiles(tmp_path / "run", "worker-0")
    files.create()
    monkeypatch.setattr(celery_signals, "_files", files)
    monkeypatch.setattr(celery_signals, "_log_folder", lambda: "/logs")
    celery_signals.received(request=SimpleNamespace(id="a"))
    assert "received" in files.in_hand()["a"]
    ti = {"id": "u", "dag_id": "d", "task_id": "t", "run_id": "r", "map_index": 3, "try_number": 2}
    celery_signals.begin(
        task_id="a", args=[json.dumps({"ti": ti, "log_path": "x/1.log", "token": "s3cret"})]
    )
    entry = files.in_hand()["a"]
    assert entry["pid"] == os.getpid()
    assert entry["log"] == "/logs/x/1.log"
    assert ledger.describe("a", entry) == "d.t[3] (run r, try 2)"
    assert "s3cret" not in files.task("a").read_text()
    assert os.environ[TASK_VARIABLE] == "a"
    celery_signals.end(task_id="a")
    assert not files.in_hand()
    assert TASK_VARIABLE not in os.environ


def test_the_node_is_named_after_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from windtunnel.runtime import celery_signals

    monkeypatch.setenv("WINDTUNNEL_WORKER", "worker-3")
    worker = SimpleNamespace(hostname="celery@some.host")
    celery_signals.take_name(instance=worker)
    assert worker.hostname == "worker-3@some.host"
