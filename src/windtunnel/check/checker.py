"""Checks DAG files: one process that has imported Airflow, and one child of it for each file.

```python
with Checker.of(project_folder) as checker:
    for path in checker.files():
        report = checker.check(path)
        assert not report.errors, "\n".join(report.lines())
```
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from windtunnel.check import air_rules
from windtunnel.check import target as targets
from windtunnel.check.parser import Parser
from windtunnel.check.report import FileReport
from windtunnel.check.rules import Rules
from windtunnel.check.target import Target
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.stack.say import say

Claim = Callable[[str, Path], Path]


class Checker:
    """The checks of one project; a context manager.

    A DAG id that an earlier file of this checker has already is a finding of the later one.

    Attributes:
        airflow, python: their versions in the project's environment.
        start_seconds: what it took to import Airflow, once.
    """

    def __init__(self, target: Target, claim: Claim | None = None) -> None:
        self.target = target
        self.airflow = ""
        self.python = ""
        self.start_seconds = 0.0
        ids: dict[str, Path] = {}
        self._claim = claim or ids.setdefault
        self._ruff = air_rules.program(target.python, target.env.get("PATH", ""))
        self._stack = contextlib.ExitStack()

    @classmethod
    def of(
        cls,
        project: Path | None = None,
        say: Callable[[str], None] = say,
        *,
        state: Path | None = None,
        claim: Claim | None = None,
    ) -> Checker:
        """A checker for a project's folder.

        Args:
            project: None for the project of the current folder.
            say: gets the lines about the project's environment, which is made where it is missing.
            state: the folder in which it is made; the project's state folder by default.
            claim: gets a DAG id and its file, and returns the first file that had this id.

        Raises:
            WindtunnelError: the cause and the next step.
        """
        return cls(targets.find(project, say, state), claim)

    def __enter__(self) -> Checker:
        with contextlib.ExitStack() as stack:
            self._parser = Parser(self.target, os.cpu_count() or 1, stack)
            ready = self._parser.ready()
            self._stack = stack.pop_all()
        self.airflow = ready["airflow"]
        self.python = ready["python"]
        self.start_seconds = ready["seconds"]
        self._rules = Rules(self.target.root, self.target.declared, ready["secrets_backend"])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def files(self, paths: Iterable[Path] = ()) -> list[Path]:
        """The DAG files below these paths, by default of the project, as Airflow lists them.

        Raises:
            UsageError: a path is not there, or the project has no DAG folder.
            WindtunnelError: Airflow cannot list the files, for example for a loop of links.
        """
        files, folders = targets.named(self.target, list(paths))
        if not files and not folders:
            folders = self.target.folders
        if not files and not folders:
            raise UsageError(f"{self.target.root} has no DAG folder: make dags/, or name files")
        if folders:
            self._parser.send({"folders": [str(folder) for folder in folders]})
            answer = self._parser.receive()
            if "fault" in answer:
                raise WindtunnelError(f"Airflow cannot list the DAG files: {answer['fault']}")
            files += [Path(file) for file in answer["files"]]
        return list(dict.fromkeys(files))

    def check(self, path: Path) -> FileReport:
        """Check one file."""
        (report,) = self.check_all([path])
        return report

    def check_all(self, paths: Iterable[Path]) -> Iterator[FileReport]:
        """Check files side by side; the reports come in the order of the paths.

        Take all of them before the next question to this checker.

        Raises:
            UsageError: a path is no file.
            WindtunnelError: the process that parses has died.
        """
        files = [targets.file(self.target, path) for path in paths]
        questions = [{"file": str(file), "bundle": self._bundle(file)} for file in files]
        numbers = [self._parser.send(question) for question in questions]
        said = air_rules.find(self._ruff, [each for each in files if each.suffix == ".py"])
        answers: dict[int, dict[str, Any]] = {}
        for number, file in zip(numbers, files, strict=True):
            while number not in answers:
                answer = self._parser.receive()
                answers[answer["id"]] = answer["facts"]
            yield self._report(file, answers.pop(number), said.get(file, []))

    def _report(self, file: Path, facts: dict[str, Any], said: list[dict[str, Any]]) -> FileReport:
        name = self._rules.name(file)
        findings = self._rules.findings(file, facts)
        findings += air_rules.findings(said, name, findings)
        dags = facts.get("dags", {})
        for dag_id in dags:
            first = self._claim(dag_id, file)
            if first != file:
                findings.insert(0, self._rules.same_id(file, dag_id, first))
        return FileReport(file, name, dags, facts["seconds"], facts.get("imports", {}), findings)

    def _bundle(self, file: Path) -> str:
        """The DAG folder of a file, which Airflow puts on the import path."""
        for folder in self.target.folders:
            if file.is_relative_to(folder):
                return str(folder)
        return str(file.parent)


def check_file(path: Path, project: Path | None = None) -> FileReport:
    """Check one file alone; for several ones keep a `Checker`, which imports Airflow once.

    Raises:
        WindtunnelError: the cause and the next step.
    """
    with Checker.of(project) as checker:
        return checker.check(path)
