"""The page of the report: one file without scripts, which loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windtunnel.pages import page
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
    text = page.render(
        TEMPLATE,
        failed=[(each, timeline.of(each)) for each in failed],
        outcomes=outcomes,
        passed=sum(each.outcome == "passed" for each in outcomes),
        now=page.now(when),
        anchors={each.node: f"test-{number}" for number, each in reversed([*enumerate(failed, 1)])},
        most_events=MOST_EVENTS,
        short=_short,
        tests=folder.TESTS,
    )
    page.write(target / folder.PAGE, text)


def _short(shown: str) -> str:
    if len(shown) <= MOST_CHARACTERS:
        return shown
    return f"{shown[:MOST_CHARACTERS]}\n… (message.txt has all {len(shown)} characters)"
