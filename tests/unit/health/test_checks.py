"""A clock that steps back makes no healthy part unhealthy, and no silent part healthy."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from windtunnel.health import checks
from windtunnel.ledger import ledger
from windtunnel.settings import Settings, load
from windtunnel.stack.ports import free_offset

FORMER = "has sent no heartbeat since the stack started"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"WINDTUNNEL_STATE": str(tmp_path), "PORT_OFFSET": str(free_offset())})


@pytest.fixture
def beats(settings: Settings) -> Iterator[list[float]]:
    """The one timestamp that the API server gives for the last heartbeat of every job."""
    last = [time.time()]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moment = datetime.fromtimestamp(last[0], UTC).isoformat()
            names = ("scheduler", "dag_processor", "triggerer")
            answer = {name: {f"latest_{name}_heartbeat": moment} for name in names}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", urlsplit(settings.api_url).port or 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield last
    server.shutdown()
    server.server_close()


def scheduler(settings: Settings, started: float) -> str | None:
    """The fault of the scheduler in a stack that started so many seconds after now."""
    settings.stack_file.touch()
    moment = time.time() + started
    os.utime(settings.stack_file, (moment, moment))
    return checks._heartbeats(settings)["scheduler"]


def test_a_heartbeat_counts_although_the_clock_stepped_back_behind_the_start_of_the_stack(
    settings: Settings, beats: list[float]
) -> None:
    assert scheduler(settings, started=600.0) is None
    assert scheduler(settings, started=-600.0) is None


def test_a_heartbeat_from_before_the_start_of_the_stack_is_a_former_stacks(
    settings: Settings, beats: list[float]
) -> None:
    beats[0] = time.time() - 2.0
    assert scheduler(settings, started=-1.0) == FORMER


def test_a_job_that_is_silent_since_the_clock_stepped_back_is_not_healthy(
    settings: Settings, beats: list[float]
) -> None:
    beats[0] = time.time() + 600.0
    fault = scheduler(settings, started=-60.0)
    assert fault is not None and "stepped back" in fault


@pytest.mark.parametrize(
    ("age", "fresh"), [(0.0, True), (14.0, True), (16.0, False), (-3.0, True), (-600.0, False)]
)
def test_a_file_from_before_the_clock_stepped_back_is_not_fresh(
    tmp_path: Path, age: float, fresh: bool
) -> None:
    ready = tmp_path / "ready"
    now = time.time()
    assert not ledger.fresh(ready, 15.0, now)
    ready.touch()
    os.utime(ready, (now - age, now - age))
    assert ledger.fresh(ready, 15.0, now) is fresh


def test_a_ready_of_the_reconciler_from_before_the_step_is_no_sign_of_life(
    settings: Settings,
) -> None:
    ready = settings.run / "reconciler" / "ready"
    ready.parent.mkdir(parents=True)
    ready.touch()
    assert checks.reconciler(settings) is None
    moment = time.time() + 600.0
    os.utime(ready, (moment, moment))
    assert checks.reconciler(settings) is not None


def test_the_checks_go_by_the_clock_of_the_stack(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ledger.WorkerFiles(settings.run, "worker-0")
    files.create()
    moment = time.time() + 600.0
    files.ready.touch()
    os.utime(files.ready, (moment, moment))
    assert checks.worker(settings, "worker-0") is not None
    monkeypatch.setattr(checks, "now", lambda: time.time() + 600.0)
    assert checks.worker(settings, "worker-0") is None
