"""What a check has found in one DAG file, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One fault, and the step that helps.

    `file` is relative to the project's folder where it lies in it. `frames` are `file:line in
    function` of the project's own code, the innermost last.
    """

    severity: Severity
    #: One of those that docs/guides/check.md lists.
    kind: str
    message: str
    file: str
    line: int | None = None
    frames: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def lines(self) -> list[str]:
        """For a person: the finding in one line, and where it came from where that is more."""
        shown = [f"{self.place}: {self.severity}: {self.message} [{self.kind}]"]
        if self.frames[-1:] != self.frames:
            shown += [f"  at {frame}" for frame in self.frames]
        return shown


@dataclass(frozen=True)
class FileReport:
    """One DAG file."""

    #: Absolute.
    path: Path
    #: The same for people, relative to the project's folder where it lies in it.
    name: str
    #: DAG id -> ids of its tasks.
    dags: dict[str, list[str]]
    #: Of the parsing alone, with Airflow itself already imported.
    seconds: float
    #: Module -> seconds of the slowest imports, with all that each one imports itself.
    imports: dict[str, float]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        return [each for each in self.findings if each.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [each for each in self.findings if each.severity == "warning"]

    def lines(self) -> list[str]:
        """For a person: one line for the file, then its findings."""
        dags = f"{len(self.dags)} DAG{'' if len(self.dags) == 1 else 's'}"
        first = f"{self.name}  {dags}  {self.seconds:.2f} s"
        if self.imports:
            slow = (f"{name} {seconds:.2f} s" for name, seconds in self.imports.items())
            first += f"  (imports: {', '.join(slow)})"
        return [first, *(f"  {line}" for each in self.findings for line in each.lines())]

    def as_json(self) -> dict[str, Any]:
        """One of `files` in what `--json` prints (docs/reference/cli.md)."""
        return {
            "path": self.name,
            "dags": self.dags,
            "seconds": round(self.seconds, 3),
            "imports": {name: round(seconds, 3) for name, seconds in self.imports.items()},
            "findings": [asdict(each) for each in self.findings],
        }
