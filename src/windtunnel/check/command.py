"""`windtunnel check`: a line for each file as soon as it is known, and a sum at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.text import Text

from windtunnel.check.checker import Checker
from windtunnel.check.report import FileReport
from windtunnel.errors import Exit

STYLES = {"error": "red", "warning": "yellow"}


def run(
    paths: list[Path], project: Path | None, *, as_json: bool, out: Console, err: Console
) -> Exit:
    """Check files and print what was found.

    Returns:
        FAILED where there is an error.

    Raises:
        UsageError: a path or the project's folder cannot be used.
        WindtunnelError: Airflow cannot be imported, or the packages cannot be installed.
    """
    start = time.monotonic()
    status = err.status("importing Airflow …") if err.is_terminal else nullcontext()
    checker = Checker.of(project)
    reports: list[FileReport] = []
    with status as shown, checker:
        files = checker.files(paths)
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        versions = f"Airflow {checker.airflow}, Python {checker.python}"
        if shown is None:
            err.print(f"checking {count} with {versions}", markup=False, soft_wrap=True)
        for report in checker.check_all(files):
            reports.append(report)
            if shown is not None:
                shown.update(f"{len(reports)} of {count}")
            if not as_json:
                for line in lines(report):
                    out.print(line, soft_wrap=True, highlight=False)
    seconds = time.monotonic() - start
    errors = sum(len(each.errors) for each in reports)
    warnings = sum(len(each.warnings) for each in reports)
    if as_json:
        data = {
            "version": 1,
            "project": str(checker.target.root),
            "airflow": checker.airflow,
            "python": checker.python,
            "seconds": round(seconds, 3),
            "errors": errors,
            "warnings": warnings,
            "files": [each.as_json() for each in reports],
        }
        print(json.dumps(data, indent=2))
    else:
        dags = sum(len(each.dags) for each in reports)
        counts = [(len(reports), "file"), (dags, "DAG"), (errors, "error"), (warnings, "warning")]
        out.print(f"{_counted(counts)} in {seconds:.1f} s", highlight=False, soft_wrap=True)
    return Exit.FAILED if errors else Exit.OK


def lines(report: FileReport) -> Iterator[Text]:
    """The report's lines in colours, which a terminal shows."""
    first, *_ = report.lines()
    yield Text(first, style="dim" if not report.findings else "")
    for finding in report.findings:
        for line in finding.lines():
            yield Text(f"  {line}", style=STYLES[finding.severity])


def _counted(counts: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
