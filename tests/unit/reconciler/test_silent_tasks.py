"""Whose silence counts, and when: the clock is the test's, processes and the HTTP server are real."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from windtunnel.ledger import ledger
from windtunnel.reconciler.silent_tasks import Silences, alive_here, api_server, api_server_well
from windtunnel.settings import load
from windtunnel.system import procfs


class Trial:
    """Looks every ten seconds at one task, `a`, that never writes a heartbeat."""

    def __init__(self) -> None:
        self.api, self.now, self.local = True, 1000.0, set[str]()
        self.silences = Silences(420.0, lambda: self.api, lambda: self.local)

    def pass_time(self, seconds: float, step: float = 10.0, beat: str = "x") -> list[str]:
        found: list[str] = []
        for _ in range(int(seconds / step)):
            self.now += step
            found += self.silences.look(self.now, {"a": beat})
        return found


@pytest.mark.parametrize("beat", ["2026-01-01 00:00:00", ""])
def test_a_task_that_is_silent_while_everything_is_well_is_found_after_the_limit(beat: str) -> None:
    trial = Trial()
    assert trial.pass_time(410, beat=beat) == []
    assert trial.pass_time(40, beat=beat)[0] == "a"


def test_the_time_without_an_api_server_counts_for_nobody() -> None:
    trial = Trial()
    trial.pass_time(300)
    trial.api = False
    assert trial.pass_time(3600) == []
    trial.api = True
    assert trial.pass_time(100) == []
    assert trial.pass_time(60), "what was counted before stays counted"


def test_a_heartbeat_ends_the_silence() -> None:
    trial = Trial()
    trial.pass_time(400)
    trial.pass_time(10, beat="y")
    assert trial.pass_time(400, beat="y") == []


def test_a_reconciler_that_was_stopped_counts_one_short_step() -> None:
    trial = Trial()
    trial.pass_time(100)
    assert trial.pass_time(3600, step=3600.0) == []
    assert trial.pass_time(290) == []


def test_an_outage_of_broker_database_or_scheduler_counts_for_nobody() -> None:
    trial = Trial()
    trial.pass_time(400)
    for _ in range(20):
        trial.silences.interrupted()
        assert trial.pass_time(10) == []


def test_a_task_whose_process_lives_here_is_never_given_up() -> None:
    trial = Trial()
    trial.local = {"a"}
    assert trial.pass_time(7200) == []
    trial.local = set()
    assert trial.pass_time(10) == ["a"]


def test_the_ledger_tells_which_processes_live(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    files = ledger.WorkerFiles(settings.run, "worker-0")
    files.create()
    process = subprocess.Popen(["sleep", "60"])
    try:
        found = procfs.read(process.pid)
        assert found is not None
        ledger.write(files.task("1"), {"pid": process.pid, "start": found.start, "id": "lives"})
        ledger.write(
            files.task("2"),
            {"pid": process.pid, "start": found.start - 1, "id": "had its number before"},
        )
        ledger.write(files.task("3"), {"received": 1.0})
        assert alive_here(settings) == {"lives"}
    finally:
        process.kill()
        process.wait()
    assert alive_here(settings) == set()


@pytest.fixture
def health() -> Iterator[tuple[str, list[bytes]]]:
    """An API server's address, and the one answer that its health route gives."""
    said = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", said
    server.shutdown()
    server.server_close()


def test_an_api_server_is_well_when_it_reaches_its_database(
    health: tuple[str, list[bytes]],
) -> None:
    url, said = health
    for text, well in (("healthy", True), ("unhealthy", False)):
        said[0] = json.dumps({"metadatabase": {"status": text}}).encode()
        assert api_server_well(url) is well
    said[0] = b"<html>a proxy"
    assert not api_server_well(url)
    assert not api_server_well("http://127.0.0.1:1")


def test_heartbeats_are_expected_where_the_tasks_send_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path), "PORT_OFFSET": "7"}, client=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(root / "airflow-home"))
    monkeypatch.setenv("WINDTUNNEL_API_PORT", "8087")
    assert api_server(settings) == "http://127.0.0.1:8087"
    monkeypatch.setenv(
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "https://hub.example:8443/execution/"
    )
    assert api_server(settings) == "https://hub.example:8443"
    monkeypatch.setenv(
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "https://hub.example/airflow/execution/"
    )
    assert api_server(settings) == "https://hub.example/airflow", (
        "a proxy serves Airflow below a path"
    )
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "")
    assert api_server(settings) == "http://127.0.0.1:8087"
