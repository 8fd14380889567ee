"""Airflow's published constraints, from a server of this test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from windtunnel.project import published

TEXT = "# made by Airflow's CI\npandas==2.3.3\nnot a requirement\n--index-url https://example.org\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDTUNNEL_CACHE", str(tmp_path / "cache"))
    # Nix's sandbox names a file that does not exist, and httpx reads it for any address.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that were asked for; only Airflow 3.3.2 is known."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = "3.3.2" in self.path
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(TEXT.encode() if known else b"404: Not Found")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}/constraints-{{}}/constraints-{{}}.txt"
        monkeypatch.setattr(published, "ADDRESS", address)
        yield asked
        running.shutdown()


def test_only_pins_are_taken_and_the_second_time_needs_no_network(server: list[str]) -> None:
    first = published.constraints("3.3.2", "3.12")
    assert first == (["pandas==2.3.3"], "Airflow's published constraints")
    assert published.constraints("3.3.2", "3.12") == first
    assert server == ["/constraints-3.3.2/constraints-3.12.txt"]


def test_a_release_that_is_not_published_gives_no_lines(server: list[str]) -> None:
    assert published.constraints("3.3.99", "3.12") == ([], "nothing")
    assert len(server) == 1


def test_an_address_that_does_not_answer_costs_the_limit_and_gives_no_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/{{}}/{{}}"
        monkeypatch.setattr(published, "ADDRESS", address)
        start = time.monotonic()
        assert published.constraints("3.3.2", "3.12") == ([], "nothing")
        assert 0.4 < time.monotonic() - start < 5


def test_a_page_that_is_no_list_of_pins_is_not_kept(
    server: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        published, "_fetch", lambda *_: "<html>Log in to the hotel's network</html>"
    )
    assert published.constraints("3.3.2", "3.12") == ([], "nothing")
    assert not list(cache.glob("constraints/*"))
