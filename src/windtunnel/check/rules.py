"""What counts as a fault in what the parsing of a file has shown, and what its author can do."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from windtunnel.check import access
from windtunnel.check.declared import Declared
from windtunnel.check.missing import Missing
from windtunnel.check.names import Names
from windtunnel.check.report import Finding, Severity

#: Bytes that a file may print while it is parsed, Airflow's own lines included.
MOST_PRINTED = 256 * 1024
#: Exceptions of Airflow -> kind.
KINDS = {
    "AirflowTaskTimeout": "timeout",
    "SystemExit": "exit",
    "DuplicateTaskIdFound": "duplicate-task-id",
    "AirflowDagDuplicatedIdException": "duplicate-dag-id",
}
STEPS = {
    access.NETWORK: "Airflow parses a file again and again; do it in a task",
    access.DATABASE: "Airflow parses a file again and again; do it in a task",
    access.FORK: "every parse of this file starts a process; do it in a task",
}
#: A line of faulthandler, and its words for a stack.
CRASHED_AT = re.compile(r'File "(.+)", line (\d+) in (.+)')


class Rules:
    """Turns the facts of one file into findings.

    Args:
        backend: Airflow's setting for a secrets backend, which may hold connections too.
    """

    def __init__(self, root: Path, declared: Declared, backend: str) -> None:
        self._root = root
        self._missing = Missing(declared, backend)

    def name(self, file: str | Path) -> str:
        """A path for people."""
        path = os.fspath(file)
        return path.removeprefix(f"{self._root}{os.sep}")

    def findings(self, file: Path, facts: dict[str, Any]) -> list[Finding]:
        """All faults; errors first, then by line."""
        found = [
            *self._end(file, facts),
            *self._errors(file, facts),
            *self._twice(file, facts),
            *self._missing.findings(file, self.name(file), facts),
            *self._access(file, facts),
            *self._asked(file, facts),
            *self._deprecations(file, facts),
            *self._printed(file, facts),
        ]
        return sorted(found, key=lambda each: (each.severity, each.line or 0))

    def same_id(self, file: Path, dag_id: str, other: Path) -> Finding:
        text = f"the DAG id {dag_id!r} is also in {self.name(other)}: each one replaces the other"
        line = Names(file).line("dag_id", dag_id)
        return Finding("error", "duplicate-dag-id", text, self.name(file), line)

    def _finding(
        self,
        severity: Severity,
        kind: str,
        message: str,
        file: Path,
        frames: Iterable[tuple[str, int, str]] = (),
    ) -> Finding:
        """A finding at the innermost frame, or about the file."""
        places = list(frames)
        shown = [f"{self.name(path)}:{line} in {function}" for path, line, function in places]
        path, line = (places[-1][0], places[-1][1]) if places else (str(file), None)
        return Finding(
            severity, kind, message, self.name(path), line or None, shown if len(shown) > 1 else []
        )

    def _end(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        """The parsing process did not come to its end."""
        if "exit" in facts:
            text = f"ends its process with os._exit({facts['exit']}): Airflow loses all its DAGs"
            yield self._finding("error", "exit", text, file, facts["frames"])
        if "end" not in facts:
            return
        frames = [
            (path, int(line), function)
            for path, line, function in CRASHED_AT.findall(facts["tail"])
            if path == str(file) or path.startswith(f"{self._root}{os.sep}")
        ]
        # faulthandler names the innermost one first.
        frames = frames[:1]
        status = facts["end"]["status"]
        if facts["end"]["late"]:
            limit = f"{facts['limit']:g} s, Airflow's `dag_file_processor_timeout`"
            yield self._finding("error", "timeout", f"was not parsed within {limit}", file, frames)
        elif facts["end"]["garbled"]:
            text = "writes into descriptors that it has not opened, so its result is not known"
            yield self._finding("error", "exit", text, file, frames)
        elif status < 0:
            name = signal.Signals(-status).name
            text = f"its process was ended by {name}: Airflow loses all its DAGs"
            yield self._finding("error", "crash", text, file, frames)
        else:
            text = f"ends the process that parses it with code {status}"
            yield self._finding("error", "exit", text, file, frames)

    def _errors(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        for error in facts.get("errors", ()):
            kind = KINDS.get(error["type"], "import-error")
            message = error["message"]
            if kind == "timeout":
                # The rest is links.
                message = message.splitlines()[0]
            text = ": ".join(part for part in (error["type"], message) if part)
            yield self._finding("error", kind, text, file, error["frames"])

        for error in facts.get("unchecked", ()):
            text = f"cannot be checked: {error['type']}: {error['message']}"
            yield self._finding("error", "unchecked", text, file)

    def _twice(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        for dag_id in facts.get("twice", ()):
            text = f"two DAGs of this file have the id {dag_id!r}: Airflow keeps one of them"
            line = Names(file).line("dag_id", dag_id)
            yield Finding("error", "duplicate-dag-id", text, self.name(file), line)

    def _access(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        for each in facts.get("access", ()):
            kind = each["kind"]
            severity: Severity = "warning" if kind == access.FORK else "error"
            text = f"{each['text']} while it is parsed: {STEPS[kind]}"
            yield self._finding(severity, kind, text, file, each["frames"])

    def _asked(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        for each in facts.get("asked", ()):
            what = f"{each['verb']} the {each['kind']} {each['name']!r} while it is parsed"
            prefix = "var.value" if each["kind"] == "variable" else "conn"
            step = f"use `{{{{ {prefix}.{each['name']} }}}}` in a template, or do it in a task"
            if not each["known"]:
                what += ", and no file of the project declares it"
            text = f"{what}: every parse asks Airflow's database; {step}"
            yield self._finding("warning", each["kind"], text, file, each["frames"])

    def _deprecations(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        for each in facts.get("deprecations", ()):
            text = f"{each['category']}: {each['text']}"
            yield self._finding("warning", "deprecation", text, file, each["frames"])

    def _printed(self, file: Path, facts: dict[str, Any]) -> Iterator[Finding]:
        if facts.get("printed", 0) > MOST_PRINTED:
            size = f"{facts['printed'] // 1024} KiB"
            text = f"prints {size} while it is parsed: each parse fills a log with it"
            yield self._finding("warning", "output", text, file)
