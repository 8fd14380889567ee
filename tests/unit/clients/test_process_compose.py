"""A process-compose that takes a question and never answers it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import WindtunnelError
from windtunnel.settings import load


def test_a_process_compose_that_never_answers_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_compose, "ANSWER_SECONDS", 0.2)
    settings = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    settings.socket.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(settings.socket))
        server.listen()
        with pytest.raises(WindtunnelError, match=r"has not answered .*process-compose\.log"):
            process_compose.Compose(settings).processes()
