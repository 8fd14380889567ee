"""A request of `windtunnel debug` counts once, for one try of one task, and only while its command lives."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.ledger import debug_request, ledger
from windtunnel.ledger.debug_request import Request, offered, take
from windtunnel.system import procfs

TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "try_number": 1, "map_index": -1}


@pytest.fixture
def request_() -> Request:
    me = procfs.read(os.getpid())
    assert me is not None
    return Request("d", "r", "t", None, 1, 5678, 10.0, "/package", me.pid, me.start)


def test_it_is_used_up_by_the_task_that_it_names(tmp_path: Path, request_: Request) -> None:
    assert take(tmp_path, TASK) is None, "there is none"
    with offered(tmp_path, request_) as taken:
        (waiting,) = (tmp_path / "debug").iterdir()
        assert waiting.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "debug").stat().st_mode & 0o777 == 0o700
        assert take(tmp_path, TASK) == request_
        assert take(tmp_path, TASK) is None
        assert taken.stat().st_mode & 0o777 == 0o600
        debug_request.tell(taken, "listening")
        assert ledger.read(taken)["state"] == "listening"
        assert taken.stat().st_mode & 0o777 == 0o600
        assert debug_request.read(taken) == request_
    assert list((tmp_path / "debug").iterdir()) == []
    debug_request.tell(taken, "over")
    assert not taken.exists(), "nobody reads it any more"


@pytest.mark.parametrize(
    "other", [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"try_number": 2}]
)
def test_another_task_run_or_try_does_not_get_it(
    tmp_path: Path, request_: Request, other: dict[str, object]
) -> None:
    with offered(tmp_path, request_):
        assert take(tmp_path, TASK | other) is None
        assert take(tmp_path, {}) is None
        assert take(tmp_path, TASK) == request_


def test_one_of_a_mapped_task_can_be_named(tmp_path: Path, request_: Request) -> None:
    with offered(tmp_path, replace(request_, map_index=2)):
        assert take(tmp_path, TASK | {"map_index": 1}) is None
        assert take(tmp_path, TASK | {"map_index": 2}) is not None
    with offered(tmp_path, request_):
        assert take(tmp_path, TASK | {"map_index": 7}) is not None


def test_a_request_of_a_dead_command_is_ignored_and_the_next_command_clears_it(
    tmp_path: Path, request_: Request
) -> None:
    dead = replace(request_, start=request_.start + 1)
    with offered(tmp_path, dead):
        assert take(tmp_path, TASK) is None
        with offered(tmp_path, request_):
            assert take(tmp_path, TASK) == request_


def test_a_second_command_is_refused_until_the_task_of_the_first_has_begun(
    tmp_path: Path, request_: Request
) -> None:
    with offered(tmp_path, request_):
        with pytest.raises(WindtunnelError, match=f"pid {os.getpid()}"):
            offered(tmp_path, request_).__enter__()
        assert take(tmp_path, TASK) == request_, "the first request is still there"


def test_a_broken_file_is_no_request(tmp_path: Path, request_: Request) -> None:
    (tmp_path / "debug").mkdir()
    for text in ("", "[]", "{}", '{"pid": "x"}'):
        (tmp_path / "debug" / "request.json").write_text(text)
        assert take(tmp_path, TASK) is None
    with offered(tmp_path, request_):
        assert take(tmp_path, TASK) == request_
