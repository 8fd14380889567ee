"""For how long a task's request is sent again: the real SDK client against a small real HTTP server."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import tenacity

from windtunnel.patches import api_client
from windtunnel.patches.catalogue import refused_requests_end_soon


class ApiServer:
    """Answers each request with `status`, after `delay` seconds, and its health route with `database`."""

    def __init__(self) -> None:
        self.status, self.delay, self.requests, self.database = 500, 0.0, 0, "healthy"
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                health = self.path == api_client.HEALTH
                body = json.dumps(
                    {"metadatabase": {"status": api.database}} if health else {"detail": "refused"}
                ).encode()
                if not health:
                    api.requests += 1
                    time.sleep(api.delay)
                self.send_response(200 if health else api.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/execution/"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    made = ApiServer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def client(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The SDK's client, patched, with 30 attempts without pauses; answers must span 0.2 s."""
    from airflow.sdk.api.client import Client

    retrying = Client.request.retry
    monkeypatch.setattr(retrying, "stop", tenacity.stop_after_attempt(30))
    monkeypatch.setattr(retrying, "wait", tenacity.wait_fixed(0.05))
    monkeypatch.setattr(api_client, "SECONDS", 0.1)
    assert refused_requests_end_soon()
    patched = retrying.stop
    assert refused_requests_end_soon()
    assert retrying.stop is patched, "applied once"
    with Client(base_url=api.url, token="t", timeout=0.3) as made:
        yield made


def test_upstream_still_counts_attempts_only() -> None:
    from airflow.sdk.api import client

    text = inspect.getsource(client)
    assert "stop=stop_after_attempt(API_RETRIES)," in text, (
        "retries changed: look again at refused_requests_end_soon"
    )


def test_what_a_well_api_server_refuses_five_times_fails_with_its_answer(
    api: ApiServer, client: Any
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="refused"):
        client.get("x")
    assert api.requests == api_client.ANSWERS


def test_the_end_of_a_task_is_sent_for_as_long_as_it_takes_while_the_database_only_reads(
    api: ApiServer, client: Any
) -> None:
    for path in ("task-instances/a/state", "task-instances/a/run", "task-instances/a/heartbeat"):
        before = api.requests
        with pytest.raises(httpx.HTTPStatusError):
            client.get(path)
        assert api.requests - before == 30, "health says well, since it only reads"


def test_answers_in_quick_succession_are_not_enough(
    api: ApiServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "SECONDS", 0.8)
    start = time.monotonic()
    with pytest.raises(httpx.HTTPStatusError):
        client.get("x")
    assert time.monotonic() - start >= 0.8


def test_a_client_error_is_sent_once(api: ApiServer, client: Any) -> None:
    api.status = 422
    with pytest.raises(httpx.HTTPStatusError):
        client.get("x")
    assert api.requests == 1


def test_an_api_server_that_never_answers_this_request_ends_it_too(
    api: ApiServer, client: Any
) -> None:
    api.delay = 0.6
    with pytest.raises(httpx.ReadTimeout):
        client.get("x")
    assert api.requests == api_client.ANSWERS


@pytest.mark.parametrize(
    ("status", "database"), [(500, "unhealthy"), (503, "healthy"), (502, "healthy")]
)
def test_while_database_or_api_server_are_away_the_request_is_repeated_to_the_end(
    api: ApiServer, client: Any, status: int, database: str
) -> None:
    api.status, api.database = status, database
    with pytest.raises(httpx.HTTPStatusError):
        client.get("x")
    assert api.requests == 30


def test_a_refused_connection_is_repeated_to_the_end(api: ApiServer, client: Any) -> None:
    api.server.shutdown()
    api.server.server_close()
    attempts: list[int] = []
    retrying = type(client).request.retry
    stop = retrying.stop

    def counted(state: Any) -> bool:
        attempts.append(1)
        return bool(stop(state))

    retrying.stop = counted
    with pytest.raises(httpx.ConnectError):
        client.get("x")
    assert len(attempts) == 30


def test_an_outage_between_takes_back_what_was_counted(api: ApiServer, client: Any) -> None:
    def well(url: str) -> bool | None:
        api.database = "unhealthy" if api.requests == 4 else "healthy"
        return api_client.api_is_well(url)

    retrying = type(client).request.retry
    retrying.stop = lambda state: api_client.refused(state, well)
    with pytest.raises(httpx.HTTPStatusError):
        client.get("x")
    assert api.requests == 4 + api_client.ANSWERS
