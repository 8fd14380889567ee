"""Which lines of the logs are kept, at what time, and what is hidden in them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from windtunnel.drill import log_lines, log_stamps
from windtunnel.drill.log_lines import LogLines
from windtunnel.drill.recording import Recording
from windtunnel.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    found.logs.mkdir()
    found.secrets.mkdir()
    (found.secrets / "valkey-password").write_text("s3cret-of-valkey")
    return found


def reader(settings: Settings) -> LogLines:
    return LogLines(settings, Recording(time.time()), str)


def write(settings: Settings, name: str, *lines: str) -> None:
    with open(settings.logs / name, "a") as log:
        log.writelines(f"{line}\n" for line in lines)


def test_what_tells_of_a_fault_is_kept_from_where_the_log_ended(settings: Settings) -> None:
    write(settings, "scheduler.log", "ERROR: of a former drill")
    lines = reader(settings)
    write(settings, "scheduler.log", "all is well", "redis.ConnectionError: Connection refused")
    lines.read()
    lines.read()
    [line] = lines.recording.lines
    assert (line.component, line.text) == ("scheduler", "redis.ConnectionError: Connection refused")


def test_a_line_that_was_written_before_the_drill_began_is_left_out(settings: Settings) -> None:
    lines = reader(settings)
    write(settings, "scheduler.log", "2020-12-01T02:44:37.508017Z [error    ] of the start")
    lines.read()
    assert lines.recording.lines == []


def test_an_event_has_its_own_time_and_the_log_beside_it_is_not_read(settings: Settings) -> None:
    lines = reader(settings)
    event = {"time": 12.5, "component": "worker-0", "event": "task_lost", "text": "lost it"}
    write(settings, "events.jsonl", json.dumps(event), '{"cut off')
    write(settings, "worker-0.log", "worker-0: lost it")
    lines.read()
    assert [(line.time, line.text) for line in lines.recording.lines] == [(12.5, "lost it")]


def test_secrets_are_hidden_and_long_lines_are_cut(settings: Settings) -> None:
    lines = reader(settings)
    write(settings, "flower.log", f"error: redis://:s3cret-of-valkey@127.0.0.1 {'x' * 500}")
    lines.read()
    [line] = lines.recording.lines
    assert "s3cret" not in line.text and len(line.text) <= log_lines.LONGEST + 2


def test_the_same_again_and_too_many_at_once_are_counted(settings: Settings) -> None:
    lines = reader(settings)
    write(settings, "valkey.log", *[f"error {number}" for number in range(5)])
    write(settings, "postgres.log", *[f"error of {letter}" for letter in "abcdef"])
    lines.read()
    assert len(lines.recording.lines) == 1 + log_lines.AT_ONCE
    assert lines.recording.lines_left_out == 4 + 3


@pytest.mark.parametrize(
    ("line", "moment", "rest"),
    [
        ("2026-12-01T02:44:37.500000Z [error    ] lost", 37.5, "[error    ] lost"),
        ("2026-12-01 02:44:37.500 UTC [8627] LOG:  shut down", 37.5, "LOG:  shut down"),
        ("2026-12-01T03:44:37.500+0100 lost", 37.5, "lost"),
        ("\x1b[31m2026-12-01T02:44:37.5Z\x1b[0m lost", 37.5, "lost"),
        ("no time at all", None, "no time at all"),
        ("2026-99-01 02:44:37.500 UTC [8627] LOG", None, "2026-99-01 02:44:37.500 UTC [8627] LOG"),
    ],
)
def test_the_time_before_a_line(line: str, moment: float | None, rest: str) -> None:
    minute = 1_796_093_040.0
    found, text = log_stamps.split(line)
    assert (found and round(found - minute, 3), text) == (moment, rest)


def test_times_without_a_zone_are_local() -> None:
    local = time.strftime("%d %b %Y %H:%M:%S", time.localtime(1_796_093_040))
    assert log_stamps.split(f"8629:M {local}.250 * Ready")[0] == 1_796_093_040.25
    flower = time.strftime("%y%m%d %H:%M:%S", time.localtime(1_796_093_040))
    assert log_stamps.split(f"[E {flower} flower:44] Failed") == (1_796_093_040.5, "Failed")
    celery = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_796_093_040))
    assert log_stamps.split(f"[{celery},750: ERROR/MainProcess] x")[0] == 1_796_093_040.75
