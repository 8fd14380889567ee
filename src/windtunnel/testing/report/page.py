"""The page of the report: one file without scripts, which loads nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from windtunnel.testing.report import entry, folder, timeline

TEMPLATE = Path(__file__).with_name("page.html.j2")
#: The incidents and messages that the page itself shows; the files have all of them.
MOST_EVENTS = 60
MOST_CHARACTERS = 4000


@dataclass(frozen=True)
class Outcome:
    """One test that used the stack, as pytest counts it."""

    node: str
    outcome: str
    seconds: float


def write(target: Path, outcomes: list[Outcome], when: float | None = None) -> None:
    """Write the page anew from what the folder holds. A reader sees the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    failed = list(entry.read_all(target / folder.TESTS))
    # Everything is escaped. The file's ending would switch that off.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"clock": _clock, "href": _href, "short": _short}
    template = environment.from_string(TEMPLATE.read_text())
    text = template.render(
        failed=[(each, timeline.of(each)) for each in failed],
        outcomes=outcomes,
        passed=sum(each.outcome == "passed" for each in outcomes),
        now=time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(when)),
        anchors={each.node: f"test-{number}" for number, each in reversed([*enumerate(failed, 1)])},
        most_events=MOST_EVENTS,
        tests=folder.TESTS,
    )
    new = target / f".{folder.PAGE}.new"
    new.write_text(text, errors="backslashreplace")
    new.replace(target / folder.PAGE)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 10)}"


def _href(path: str) -> str:
    return quote(path)


def _short(text: Any) -> str:
    shown = str(text)
    if len(shown) <= MOST_CHARACTERS:
        return shown
    return f"{shown[:MOST_CHARACTERS]}\n… (message.txt has all {len(shown)} characters)"
