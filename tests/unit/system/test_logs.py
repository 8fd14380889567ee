"""A component's log: lines for people, events for machines."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from windtunnel.system import events, logs

#: Airflow's own set-up, in another test of this process, disables the loggers that exist.
LOG = logging.getLogger("windtunnel.tests")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """The loggers as they were."""
    log = logging.getLogger("windtunnel")
    before = (log.handlers, log.level)
    LOG.disabled = False
    yield
    log.handlers, log.level = before


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / events.NAME


def test_a_line_has_a_timestamp_in_utc_and_the_name_of_its_writer(file: Path) -> None:
    out = io.StringIO()
    lines = logging.StreamHandler(out)
    logs.configure("worker-0", file, "supervisor of worker-0", lines)
    LOG.info("healthy")
    [found] = re.findall(r"^(\S{19})Z supervisor of worker-0: healthy\n$", out.getvalue())
    moment = time.strftime("%Y-%m-%dT%H:%M", time.gmtime())
    assert found.startswith(moment[:13])
    assert not file.exists(), "a line without an event"


def test_an_event_has_its_time_component_level_text_and_fields(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("reconciler", file)
    before = round(time.time(), 3)
    extra = logs.event("task_lost", task="1", pids=[7, 8])
    LOG.warning("lost 100 % of it", extra=extra)
    [event] = events.read(file)
    # Both ends are rounded as the event's time is: rounding keeps the order of two times.
    assert before <= event.pop("time") <= round(time.time(), 3)
    assert event == {
        "component": "reconciler",
        "level": "warning",
        "text": "lost 100 % of it",
        "event": "task_lost",
        "task": "1",
        "pids": [7, 8],
    }
    assert capsys.readouterr().out.endswith("Z reconciler: lost 100 % of it\n")


def test_a_name_that_is_not_unicode_spoils_neither(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii", write_through=True))
    logs.configure("reconciler", file)
    # pytest would keep the line for its report, which cannot hold it under pytest-xdist.
    monkeypatch.setattr(logging.getLogger("windtunnel"), "propagate", False)
    text = "zählen \ud800"
    LOG.info(text, extra=logs.event("state", path=Path("a")))
    assert rb"reconciler: z\xe4hlen \ud800" in out.getvalue()
    [event] = events.read(file)
    assert (event["text"], event["path"]) == (text, "a")


def test_configured_twice_it_writes_once(file: Path) -> None:
    for _ in range(2):
        logs.configure("reconciler", file)
    LOG.info("once", extra=logs.event("state"))
    assert len(events.read(file)) == 1
