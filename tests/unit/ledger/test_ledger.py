"""A worker's files may hold anything after a crash or by a hand's mistake; nothing that reads them breaks by it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from windtunnel.ledger import held, ledger
from windtunnel.ledger.ledger import WorkerFiles
from windtunnel.settings import load
from windtunnel.system import procfs
from windtunnel.worker.options import Options
from windtunnel.worker.record import Record

DAMAGED = [
    *(b"", b"{", b"\x00\xff\xfe", b"[1]", b'"text"', b"null", b"[" * 200_000),
    *(
        b'{"pid": "x", "celery_pid": "abc", "boot": 3}',
        b'{"queues": 3}',
        b'{"restarts": null}',
        b'{"last_incident": "text"}',
    ),
]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_supervisor_starts_over_damaged_files_and_what_reads_them_finds_nothing(
    tmp_path: Path, data: bytes
) -> None:
    env = {"WINDTUNNEL_STATE": str(tmp_path)}
    files = WorkerFiles(tmp_path / "run", "worker-0")
    files.create()
    for path in (files.supervisor, files.health, files.task("abc")):
        path.write_bytes(data)
    assert ledger.read(files.supervisor) == {}
    assert list(held.workers(load(env))) == []
    record = Record(Options.parse([], env))
    record.take()
    assert record.former() is None
    record.save()
    assert ledger.read(files.supervisor)["pid"] == os.getpid()


def test_names_of_any_alphabet_are_written_and_read_whatever_the_locale(tmp_path: Path) -> None:
    entry = {
        "dag_id": "größe_日本",
        "task_id": "zählen",
        "run_id": "läuft",
        "try_number": 1,
        "started": 1.0,
    }
    ledger.write(tmp_path / "a.json", entry)
    assert (tmp_path / "a.json").read_bytes().isascii()
    assert ledger.read(tmp_path / "a.json") == entry
    # As written by another program.
    (tmp_path / "a.json").write_bytes(json.dumps(entry, ensure_ascii=False).encode())
    assert ledger.read(tmp_path / "a.json") == entry
    assert ledger.describe("x", entry) == "größe_日本.zählen (run läuft, try 1)"


def test_a_task_in_hand_is_shown_with_its_worker_how_long_it_has_run_and_until_when_it_is_waited_for(
    tmp_path: Path,
) -> None:
    files = WorkerFiles(tmp_path / "run", "worker-3")
    files.create()
    me = procfs.read(os.getpid())
    assert me is not None
    record = {
        "pid": me.pid,
        "start": me.start,
        "boot": procfs.boot_id(),
        "state": "draining",
        "since": 1000.0,
    }
    ledger.write(files.supervisor, record)
    ledger.write(
        files.task("a"),
        {"dag_id": "d", "task_id": "t", "run_id": "r", "try_number": 2, "started": 900.0},
    )
    ledger.write(files.task("b"), {"received": 950.0})
    first, second = held.tasks(
        load({"WINDTUNNEL_STATE": str(tmp_path), "WORKER_DRAIN_SECONDS": "60"})
    )
    assert (
        str(first).startswith("d.t (run r, try 2) on worker-3, running for ")
        and first.until == 1060.0
    )
    assert str(second) == "Celery task b on worker-3, not begun"
    assert held.listing([first] * 7).endswith("; and 2 more")
    ledger.write(files.supervisor, record | {"start": me.start + 1})
    assert held.tasks(load({"WINDTUNNEL_STATE": str(tmp_path)})) == []


def test_an_entry_belongs_to_the_process_that_runs_the_task_also_when_the_message_comes_again(
    tmp_path: Path,
) -> None:
    files = WorkerFiles(tmp_path, "worker-0")
    files.create()
    files.receive("a", {"received": 1.0})
    files.receive("a", {"received": 2.0})
    assert files.in_hand() == {"a": {"received": 1.0}}, "the first delivery's"
    first, second = {"pid": 7, "start": 70}, {"pid": 8, "start": 80}
    assert files.claim("a", first)
    assert not files.claim("a", second)
    # The kernel gives a number to another process later.
    assert not files.claim("a", {"pid": 7, "start": 71})
    files.receive("a", {"received": 3.0})
    files.forget_unclaimed("a")
    files.release("a", 8, 80)
    files.release("a", 7, 71)
    assert files.in_hand() == {"a": first}
    assert files.claim("a", {**first, "id": "0199"}), "the same process may add to it"
    files.release("a", 7, 70)
    assert files.in_hand() == {}
    files.receive("a", {"received": 4.0})
    files.forget_unclaimed("a")
    assert files.in_hand() == {}
