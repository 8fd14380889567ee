"""A state folder with logs, and an API server that knows one run: what a report is made from."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from windtunnel.settings import Ports, Settings, load

DAG, RUN = "etl", "test_etl.test_retry__ab12"
SECRET = "the-secret-of-valkey"

#: The fixture of the plugin, for a stack that "runs". A test adds `begin(windtunnel)`.
CONFTEST = """
import os
from pathlib import Path
import pytest
from windtunnel.settings import load
from windtunnel.testing.options import STACK, STATE
from windtunnel.testing.stack import Windtunnel

@pytest.fixture(scope="session")
def windtunnel(pytestconfig):
    state = Path(os.environ["FAKE_STATE"])
    pytestconfig.stash[STATE] = state
    pytestconfig.stash[STACK] = None
    if "FAKE_FAILURE" in os.environ:
        (state.parent / "up.log").write_text("uv: no such package\\n")
        pytest.fail("windtunnel: the stack did not start", pytrace=False)
    variables = {"WINDTUNNEL_STATE": str(state), "PORT_OFFSET": os.environ["FAKE_OFFSET"]}
    stack = pytestconfig.stash[STACK] = Windtunnel(load(variables))
    return stack
"""


def make(state: Path) -> None:
    """The files of a stack in which `load` was lost with worker-0 and tried again."""
    tasks = state / "logs" / "tasks" / f"dag_id={DAG}" / f"run_id={RUN}" / "task_id=load"
    for folder in (state / "secrets", state / "run", tasks):
        folder.mkdir(parents=True)
    (state / "secrets" / "valkey-password").write_text(SECRET)
    for name in ("scheduler", "worker-0"):
        (state / "logs" / f"{name}.log").write_text(f"{name} before the test\n")
    for number, said in ((1, "loading <b>1</b>"), (2, f"redis://:{SECRET}@127.0.0.1/0")):
        line = {"timestamp": "2026-11-30T20:00:00Z", "level": "info", "event": said}
        (tasks / f"attempt={number}.log").write_text(json.dumps(line) + "\n")


def note_event(state: Path, level: str, text: str) -> None:
    event = {"time": time.time(), "component": "worker-0", "level": level, "text": text}
    with open(state / "logs" / "events.jsonl", "a") as file:
        file.write(json.dumps(event) + "\n")


@contextmanager
def api(state: Path) -> Iterator[Settings]:
    """The settings of the stack while its API server answers."""
    began = time.time()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer({"access_token": "token"})

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.endswith("/tries"):
                self._answer({"task_instances": [_try(1, began), _try(2, began)]})
            elif path.endswith("/taskInstances"):
                self._answer({"task_instances": [_try(2, began)], "total_entries": 1})
            else:
                self._answer({"state": "success"})

        def _answer(self, data: Any) -> None:
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    (state / "secrets" / "airflow-password").write_text("password-of-admin")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    offset = server.server_port - Ports().api
    try:
        yield load({"WINDTUNNEL_STATE": str(state), "PORT_OFFSET": str(offset)})
    finally:
        server.shutdown()
        server.server_close()


def _try(number: int, began: float) -> dict[str, Any]:
    start = began + number - 1
    return {
        "task_id": "load",
        "map_index": -1,
        "state": "failed" if number == 1 else "success",
        "try_number": number,
        "hostname": f"worker-{number - 1}",
        "pid": os.getpid(),
        "queue": "default",
        "queued_when": None,
        "start_date": datetime.fromtimestamp(start, UTC).isoformat(),
        "end_date": datetime.fromtimestamp(start + 0.8, UTC).isoformat(),
    }
