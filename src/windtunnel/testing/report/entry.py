"""What the page says about one failed test: `test.json` in the test's folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from windtunnel.system.events import Event

NAME = "test.json"


@dataclass
class Try:
    """One try of a task. `start` and `end` are in Unix seconds; `log` is relative to the folder."""

    task: str
    number: int
    state: str
    worker: str
    start: float | None
    end: float | None
    log: str = ""


@dataclass
class Run:
    """A run that the test started, `started` in Unix seconds."""

    dag_id: str
    run_id: str
    started: float
    state: str = "unknown"
    tries: list[Try] = field(default_factory=list)


@dataclass
class Entry:
    """One failed test. Times are in Unix seconds, `files` are relative to the folder."""

    node: str
    outcome: str
    message: str
    began: float
    ended: float
    folder: str = ""
    runs: list[Run] = field(default_factory=list)
    #: Of windtunnel.testing.journal.Fault: name, how, began, ended.
    faults: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    #: What `status` called a problem: part, what.
    problems: list[dict[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    #: What could not be had, and why.
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        (folder / NAME).write_text(json.dumps(asdict(self), indent=1))


def read_all(folder: Path) -> Iterator[Entry]:
    """The entries below a folder, oldest first. One that a dead process cut short is skipped."""
    found = []
    for file in folder.glob(f"*/{NAME}"):
        try:
            data = json.loads(file.read_bytes())
            runs = [
                Run(**(run | {"tries": [Try(**each) for each in run["tries"]]}))
                for run in data["runs"]
            ]
            found.append(Entry(**(data | {"runs": runs, "folder": file.parent.name})))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    yield from sorted(found, key=lambda entry: entry.began)
