"""A supervisor's output never waits for its reader."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator

import pytest

from windtunnel.worker.output import BUFFER, Output


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        os.close(fd)


def read_all(fd: int, into: bytearray) -> threading.Thread:
    def go() -> None:
        while data := os.read(fd, 65536):
            into.extend(data)

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_a_reader_gets_everything_in_order() -> None:
    read_end, write_end = os.pipe()
    got = bytearray()
    thread = read_all(read_end, got)
    out = Output(write_end)
    for number in range(500):
        out.put(f"line {number}\n".encode())
    out.finish(10)
    os.close(write_end)
    thread.join(10)
    os.close(read_end)
    assert got.decode().splitlines() == [f"line {number}" for number in range(500)]


def test_without_a_reader_it_returns_at_once_and_later_says_how_much_was_dropped(
    pipe: tuple[int, int],
) -> None:
    read_end, write_end = pipe
    out, chunk = Output(write_end), b"x" * 65535 + b"\n"
    start = time.monotonic()
    for _ in range(1600):  # 100 MB
        out.put(chunk)
    assert time.monotonic() - start < 5
    os.set_blocking(read_end, False)
    got = bytearray()
    while out.pending:
        out.pump()
        got += os.read(read_end, 1 << 20)
    dropped = re.search(rb"supervisor: (\d+) bytes of output were dropped", got)
    assert dropped
    kept = got.count(b"x" * 65535)
    assert kept * len(chunk) + int(dropped[1]) == 1600 * len(chunk)
    assert BUFFER <= len(got) < 2 * BUFFER
    out.put(b"and on\n")
    assert os.read(read_end, 100) == b"and on\n"


def test_a_reader_that_is_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    out = Output(write_end)
    out.put(b"text")
    out.put(b"text")
    assert not out.pending
    os.close(write_end)
