"""`--windtunnel-check`: one collected item for each DAG file, without a stack."""

from __future__ import annotations

import fcntl
import json
import warnings
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from windtunnel.check.checker import Checker
from windtunnel.check.report import FileReport
from windtunnel.errors import WindtunnelError
from windtunnel.project import layout
from windtunnel.project.folder import Folder
from windtunnel.testing import options, places
from windtunnel.testing.options import CACHE, OWNER, SESSION

NAME = "windtunnel-check"


class DagWarning(UserWarning):
    """A finding of a DAG file that is no error."""


class DagErrors(Exception):
    """The errors of a DAG file."""

    def __init__(self, report: FileReport) -> None:
        super().__init__("\n".join(line for each in report.errors for line in each.lines()))


class Checks:
    """The plugin object: finds the DAG files of the project, and has them checked."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._project = options.project(config).resolve()
        self._reports: dict[Path, FileReport] = {}
        self._checker: Checker | None = None
        folders = [self._project / each for each in layout.dag_folders(Folder(self._project))]
        if not folders:
            # No item would look as if all were well.
            raise pytest.UsageError(f"--windtunnel-check: {self._project} has no DAG folder")
        # Without a path on the command line, the DAG files are meant too, wherever they lie.
        if config.args_source is not config.ArgsSource.ARGS:
            config.args += [str(path) for path in folders if not _is_below(path, config)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Import Airflow before the first file is looked at: a failure of it ends the session."""
        if self.config.pluginmanager.has_plugin("dsession"):
            # pytest-xdist: other processes collect.
            return
        try:
            _ = self.files
        except (OSError, WindtunnelError) as error:
            raise pytest.UsageError(f"--windtunnel-check: {error}") from None

    @cached_property
    def checker(self) -> Checker:
        # A stack's environments are shared, and nothing is written into the project.
        session = self.config.stash[SESSION]
        is_alone = not hasattr(self.config, "workerinput")
        with places.below(self.config.stash[CACHE]):
            folder = places.begin_session(session, self.config.stash[OWNER])
            state = places.state_of(session, self._project)
            claim = None if is_alone else SharedIds(folder / "dag-ids").claim
            with places.starting(self._project):
                checker = Checker.of(self._project, state=state, claim=claim)
        self._checker = checker.__enter__()
        return checker

    @cached_property
    def files(self) -> frozenset[Path]:
        return frozenset(self.checker.files())

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> DagFile | None:
        if file_path.suffix not in (".py", ".zip") or file_path not in self.files:
            return None
        found: DagFile = DagFile.from_parent(parent, path=file_path)
        found.checks = self
        return found

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> pytest.Module | None:
        """Do not import a DAG file that was named on the command line: it may hang."""
        patterns = self.config.getini("python_files")
        is_test = any(module_path.match(pattern) for pattern in patterns)
        if is_test or module_path not in self.files:
            return None
        empty: pytest.Module = NoTests.from_parent(parent, path=module_path)
        return empty

    def report(self, item: CheckItem) -> FileReport:
        """The report of one file; the first one has all files checked, side by side."""
        if item.path not in self._reports:
            paths = [item.path]
            # Processes of pytest-xdist share the files among them.
            if not hasattr(self.config, "workerinput"):
                items = [each for each in item.session.items if isinstance(each, CheckItem)]
                paths = list(dict.fromkeys([item.path, *(each.path for each in items)]))
            self._reports |= {each.path: each for each in self.checker.check_all(paths)}
        return self._reports[item.path]

    def pytest_unconfigure(self) -> None:
        if self._checker is not None:
            self._checker.__exit__()


class DagFile(pytest.File):
    """A DAG file with its one item."""

    checks: Checks

    def collect(self) -> Iterable[pytest.Item]:
        item: CheckItem = CheckItem.from_parent(self, name=NAME)
        item.checks = self.checks
        return [item]


class CheckItem(pytest.Item):
    """Fails where the file has an error; its warnings are warnings of pytest."""

    checks: Checks

    def runtest(self) -> None:
        report = self.checks.report(self)
        for each in report.warnings:
            text = f"{each.message} [{each.kind}]"
            warnings.warn_explicit(text, DagWarning, each.file, each.line or 1)
        if report.errors:
            raise DagErrors(report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, DagErrors):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, NAME


class NoTests(pytest.Module):
    """A DAG file that pytest itself has nothing to do with."""

    def collect(self) -> Iterable[Any]:
        return []


class SharedIds:
    """The DAG ids of all processes of pytest-xdist: each file is checked in one of them."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def claim(self, dag_id: str, path: Path) -> Path:
        """The first file with this id."""
        with open(self._file, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = dict(json.loads(line) for line in file)
            if dag_id not in known:
                file.write(json.dumps([dag_id, str(path)]) + "\n")
            return Path(known.get(dag_id, path))


def _is_below(path: Path, config: pytest.Config) -> bool:
    """Whether pytest looks into a folder anyway."""
    places = [config.invocation_params.dir / str(each).split("::")[0] for each in config.args]
    return any(path.is_relative_to(place) for place in places)
