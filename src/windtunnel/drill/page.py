"""The page of a drill: a section for each scenario, in one file that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.drill import picture, recoveries
from windtunnel.drill.cluster import Check
from windtunnel.drill.recording import Recording, Try
from windtunnel.drill.report import Rehearsal, paired
from windtunnel.drill.scenarios.catalogue import Outcome
from windtunnel.errors import WindtunnelError
from windtunnel.pages import page
from windtunnel.pages.timeline import Timeline

TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Part:
    """What was recorded on one stack."""

    title: str
    recording: Recording
    line: Timeline
    recoveries: Timeline | None
    always_up: list[str]
    rows: list[tuple[str, float, str, str]]
    tries: list[tuple[Try, str, str, str, str]]


@dataclass(frozen=True)
class Scene:
    """One scenario. `place` is its id on the page."""

    place: str
    outcome: Outcome
    stock: Outcome | None
    rows: list[tuple[str, Check | None, Check | None]]
    parts: list[Part]


def write(target: Path, found: list[Rehearsal], about: str, when: float | None = None) -> None:
    """Write the page anew.

    Args:
        about: the machine, in one line.

    Raises:
        WindtunnelError: it cannot be written.
    """
    try:
        page.write(target, text(found, about, when))
    except OSError as error:
        raise WindtunnelError(f"cannot write {target}: {error.strerror}") from None


def text(found: list[Rehearsal], about: str, when: float | None = None) -> str:
    scenes = [_scene(number, each) for number, each in enumerate(found, 1)]
    broken = sum(not each.ours.ok for each in found)
    noun = "scenario" if len(found) == 1 else "scenarios"
    verdict = f"{broken} with a broken promise" if broken else "every promise kept"
    beside = any(each.stock for each in found)
    if beside:
        verdict = f"here {verdict}"
    values: dict[str, Any] = {
        "scenes": scenes,
        "beside": beside,
        "heading": f"{len(found)} {noun}, {verdict}" if found else "no scenario yet",
        "now": page.now(when),
        "about": about,
    }
    return page.render(TEMPLATE, **values)


def _scene(number: int, each: Rehearsal) -> Scene:
    place = f"s{number}"
    parts = []
    titles = {"here": each.ours, "stock": each.stock}
    for name, outcome in titles.items():
        if outcome is not None and outcome.recording is not None:
            title = "Time line" if each.stock is None else "Time line here"
            if name == "stock":
                title = "Time line with Airflow's own settings"
            parts.append(_part(title, outcome, outcome.recording, f"{place}-{name}"))
    return Scene(place, each.ours, each.stock, paired(each), parts)


def _part(title: str, outcome: Outcome, recording: Recording, place: str) -> Part:
    begin = recording.began
    rows = [
        (f"{place}-act-{number}", act.time - begin, picture.DRILL, f"{number}: {act.what}")
        for number, act in enumerate(recording.acts, 1)
    ] + [
        (f"{place}-{number}", line.time - begin, line.component, line.text)
        for number, line in enumerate(recording.lines, 1)
    ]
    return Part(
        title,
        recording,
        picture.of(recording, outcome.checks, place),
        recoveries.picture(recording),
        picture.always_up(recording),
        sorted(rows, key=lambda row: row[1]),
        [_try(each, recording.began) for each in recording.tries],
    )


def _try(each: Try, begin: float) -> tuple[Try, str, str, str, str]:
    began, ended = (
        "" if moment is None else f"{moment - begin:.1f} s" for moment in (each.began, each.ended)
    )
    return each, began, ended, picture.kind(each), picture.fate(each)
