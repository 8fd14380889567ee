"""The stack of one test session: started at first use, shared by the processes of pytest-xdist."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.health import wait
from windtunnel.services import state_folder
from windtunnel.settings import Settings, find_root, load
from windtunnel.stack import ports, private, project_changes, scale
from windtunnel.testing import places
from windtunnel.testing.options import ALONE, OWNER, SESSION, STATE
from windtunnel.testing.stack import Windtunnel

#: The file with the variables that a stack was started with. They may hold secrets.
VARIABLES = "variables.json"
#: The last lines of a start that failed.
LINES = 15


class Session:
    """What the options ask for, and the stack once it is started.

    Args:
        project: the project's folder. variables: more variables for the stack.
    """

    def __init__(self, config: pytest.Config, project: Path, variables: dict[str, str]) -> None:
        self.config = config
        self.project = project
        self.mode = str(config.getoption("--windtunnel"))
        self.workers: int | None = config.getoption("--windtunnel-workers")
        self.seconds = float(config.getoption("--windtunnel-start-timeout"))
        self.variables = dict(variables)

    def stack(self) -> Windtunnel:
        """The running stack. Fails the test with the cause where it cannot be had."""
        try:
            settings = self._attach() if self.mode == "attach" else self._started()
        except WindtunnelError as error:
            raise pytest.fail.Exception(f"windtunnel: {error}", pytrace=False) from None
        places.note_use(settings.state)
        return Windtunnel(settings, lambda: self.config.stash.get(ALONE, True))

    def _attach(self) -> Settings:
        settings = load({"WINDTUNNEL_PROJECT": str(self.project), **_named_state()})
        self.config.stash[STATE] = settings.state
        process_compose.require(settings)
        self._require_ready(settings)
        return settings

    def _started(self) -> Settings:
        session = self.config.stash[SESSION]
        places.begin_session(session, self.config.stash[OWNER])
        owner = places.REUSED if self.mode == "reuse" else session
        state = places.state_of(owner, self.project)
        self.config.stash[STATE] = state
        failure = places.state_of(session, self.project).parent / "failure"
        # The processes of pytest-xdist, and with `reuse` also other sessions, come here at once.
        with open(state.parent / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if failure.exists():
                raise WindtunnelError(failure.read_text())
            try:
                return self._running(state)
            except WindtunnelError as error:
                failure.write_text(str(error))
                if self.mode == "private":
                    private.end(self._settings(state, 0))
                raise

    def _running(self, state: Path) -> Settings:
        """The stack of a state folder, started where it does not run as the options say."""
        known = load(self._variables(state))
        offset = known.port_offset
        if not process_compose.answers(known):
            offset = ports.free_offset()
        elif self._has_other_variables(state):
            # They count from a start on. The reused database stays.
            private.end(known)
        elif known.project is None or not project_changes.changed(known.project, known):
            self._set_workers(known)
            self._require_ready(known)
            return known
        began = time.monotonic()
        self._say(f"windtunnel: starting a stack for {self.project} …")
        self._up(state, offset)
        self._note_variables(state)
        settings = load(self._variables(state))
        self._set_workers(settings)
        self._require_ready(settings, self.seconds - (time.monotonic() - began))
        self._say(f"windtunnel: the stack is ready after {time.monotonic() - began:.1f} s")
        return settings

    def _has_other_variables(self, state: Path) -> bool:
        try:
            return (state.parent / VARIABLES).read_text() != self._noted(state)
        except OSError:
            return True

    def _note_variables(self, state: Path) -> None:
        state_folder.write_private(state.parent / VARIABLES, self._noted(state))

    def _noted(self, state: Path) -> str:
        return json.dumps(self._variables(state), sort_keys=True)

    def _set_workers(self, settings: Settings) -> None:
        if self.workers and len(process_compose.Compose(settings).workers()) != self.workers:
            scale.scale(settings, self.workers)

    def _require_ready(self, settings: Settings, seconds: float | None = None) -> None:
        said = io.StringIO()
        with redirect_stderr(said):
            limit = max(self.seconds if seconds is None else seconds, 1)
            code = wait.wait(settings, limit, lambda _: None)
        if code != Exit.OK:
            raise WindtunnelError(said.getvalue().strip().removeprefix("windtunnel: "))

    def _up(self, state: Path, offset: int) -> None:
        command = [_program(), "up", "-D", "--project", str(self.project)]
        log = state.parent / "up.log"
        # Other plugins, and many a conftest.py, export settings of Airflow for `dag.test()`.
        env = private.clean_environment(os.environ, airflow=False)
        env |= self._variables(state) | {"PORT_OFFSET": str(offset)}
        if self.workers:
            env["WORKERS"] = str(self.workers)
        with places.starting(self.project), open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C ends the test session, which then ends the stack.
                start_new_session=True,
            )
            try:
                code = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                private.end(self._settings(state, offset))
                process.wait()
                fault = f"the stack did not start within {self.seconds:.0f} s"
                step = "set --windtunnel-start-timeout"
                raise WindtunnelError(f"{fault}: {step}\n{_last_lines(log)}") from None
        if code:
            raise WindtunnelError(f"the stack did not start\n{_last_lines(log)}")

    def _settings(self, state: Path, offset: int) -> Settings:
        return load(self._variables(state) | {"PORT_OFFSET": str(offset)}, client=False)

    def _variables(self, state: Path) -> dict[str, str]:
        schedules = bool(self.config.getoption("--windtunnel-schedules"))
        # Runs that no test has started would change what a test sees.
        ours = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(schedules)}
        ours |= self.variables | {"WINDTUNNEL_STATE": str(state)}
        if "WINDTUNNEL_ROOT" in os.environ:
            ours["WINDTUNNEL_ROOT"] = os.environ["WINDTUNNEL_ROOT"]
        # The checkout of windtunnel itself is no project.
        if self.project != find_root(os.environ, self.project):
            ours["WINDTUNNEL_PROJECT"] = str(self.project)
        return ours

    def _say(self, text: str) -> None:
        """A line on the terminal, past the capturing of output."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None or hasattr(self.config, "workerinput"):
            return
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(text)


def _named_state() -> dict[str, str]:
    state = os.environ.get("WINDTUNNEL_STATE")
    return {"WINDTUNNEL_STATE": state} if state else {}


def _program() -> str:
    beside = Path(sys.executable).with_name("windtunnel")
    return str(beside) if beside.is_file() else (shutil.which("windtunnel") or "windtunnel")


def _last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LINES:])
