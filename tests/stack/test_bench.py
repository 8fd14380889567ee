"""`windtunnel bench` on real processes: it runs, prints what it promises, and leaves nothing. Not its figures: others use the machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.stack_fixture import until

#: `--quick` without `--stock` on two quiet cores (docs/reference/cli.md).
PROMISED_SECONDS = 120
#: A time limit in a test is a ceiling above the promise, since other tests may run beside it.
CEILING_SECONDS = 2 * PROMISED_SECONDS


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where bench puts its private stacks; nothing of them may be left in it or run from it. Short: a socket lies in it."""
    path = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield path
        until("no process is left", lambda: not users(path), 10)
        assert [str(left) for left in path.iterdir()] == []
    finally:
        shutil.rmtree(path)


def users(folder: Path) -> list[str]:
    """Living processes that have anything to do with a folder: by command line, working directory or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            texts = [*process.cmdline(), process.cwd(), *process.environ().values()]
            if any(str(folder) in text for text in texts):
                found.append(f"{process.pid} {process.name()}")
        except (psutil.Error, OSError):
            continue
    return found


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(
        ["windtunnel", "bench", *words],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bench(folder: Path, *words: str) -> dict[str, Any]:
    running = begin(folder, "--quick", "--json", *words)
    out, err = running.communicate(timeout=400)
    assert running.returncode == 0, err
    data = dict(json.loads(out))
    assert (
        data["version"] == 1
        and data["machine"]["cores"] > 0
        and data["machine"]["versions"]["airflow"].startswith("3.")
    )
    return data


def test_a_quick_bench_prints_every_quick_figure_within_twice_the_promised_time(
    folder: Path,
) -> None:
    data = bench(folder)
    assert set(data["figures"]) == {
        "chain",
        "parallel-2",
        "first-run",
        "up",
        "idle",
        "memory",
        "down",
    }
    for name, row in data["figures"].items():
        assert len(row["windtunnel"]["rounds"]) == 1 and row["windtunnel"]["median"] > 0, name
        assert "stock" not in row
    memory = data["details"]["windtunnel"][0]["memory"]
    assert {"api-server", "scheduler", "worker", "postgres", "valkey", "process-compose"} <= set(
        memory
    )
    assert all(value > 0 for value in memory.values())
    assert data["seconds"] < CEILING_SECONDS


def test_a_bench_beside_stock_measures_both_and_draws_them(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    found = bench(folder, "--stock", "--only", "memory", "--report", str(page))
    row = found["figures"]["memory"]
    assert (
        row["windtunnel"]["median"] > 0
        and row["stock"]["median"] > 0
        and row["stock/windtunnel"] > 0
    )
    text = page.read_text()
    assert f"stock: {row['stock']['median']:.0f} MiB" in text
    assert f"windtunnel: {row['windtunnel']['median']:.0f} MiB" in text


@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_an_interrupted_bench_leaves_its_page_alone(
    folder: Path, tmp_path: Path, seconds: float
) -> None:
    running = begin(folder, "--quick", "--report", str(tmp_path / "bench.html"))
    until("the private stack has a folder", lambda: list(folder.glob("windtunnel-bench-*")), 30)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert "Interrupted" in (tmp_path / "bench.html").read_text()


@pytest.mark.long
def test_growth_measures_every_part(folder: Path) -> None:
    grown = bench(folder, "--growth")["growth"]
    assert set(grown) == {
        "tasks a second by tasks in the DAG",
        "tasks a second by workers",
        "with a deep queue",
    }
    assert grown["with a deep queue"]["messages"] >= 100
    assert all(value > 0 for rows in grown.values() for value in rows.values())
