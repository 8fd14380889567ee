"""The stack of one test session: started at first use, shared by the processes of pytest-xdist.

Over 200 lines, because a stack that is started, found or attached to goes the same way.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from windtunnel.clients import process_compose
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.health import wait
from windtunnel.project import layout
from windtunnel.project.folder import Folder
from windtunnel.settings import Settings, find_root, load, named_state, recorded
from windtunnel.stack import ports, private, project_changes, scale
from windtunnel.testing import faults, mending, places, reuse, up_command
from windtunnel.testing.options import CACHE, OWNER, SESSION, STATE, TURN, TURNS, USE
from windtunnel.testing.stack import Windtunnel
from windtunnel.testing.terminal import say

#: A stack that is found has this time to be ready.
FOUND_SECONDS = 30.0


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
            with places.below(self.config.stash[CACHE]):
                settings = self._attach() if self.mode == "attach" else self._started()
                places.note_use(settings.state)
            mending.mend(settings)
        except OSError as error:
            step = "free it, or set WINDTUNNEL_CACHE to another folder"
            fault = f"windtunnel: the stack's folder cannot be used: {error}: {step}"
            raise pytest.fail.Exception(fault, pytrace=False) from None
        except WindtunnelError as error:
            raise pytest.fail.Exception(f"windtunnel: {error}", pytrace=False) from None
        return Windtunnel(settings, self._is_alone)

    def _is_alone(self) -> bool:
        turn = self.config.stash.get(TURN, None)
        return turn is None or turn.become_alone()

    def _begin_turn(self, folder: Path) -> None:
        """Wait for this test's turn: another session may have broken a part just now."""
        self.config.stash[TURNS] = folder
        if turn := self.config.stash.get(TURN, None):
            turn.folder = folder
            turn.begin()

    def _attach(self) -> Settings:
        variables = self._named_project() | _named("WINDTUNNEL_ROOT")
        # One that `./dev` or a shell derived is that of the checkout.
        if named_state(os.environ) or "WINDTUNNEL_PROJECT" not in variables:
            variables |= _named("WINDTUNNEL_STATE")
        settings = load(variables)
        self.config.stash[STATE] = settings.state
        process_compose.require(settings)
        self._require_own(settings)
        self._begin_turn(settings.run)
        faults.bring_back(settings)
        self._require_ready(settings)
        return settings

    def _require_own(self, settings: Settings) -> None:
        """Raises `UsageError` where the stack serves the DAGs of another folder."""
        known = recorded(settings.state).get("WINDTUNNEL_PROJECT")
        served = Path(str(known or settings.root)).resolve()
        if served != self.project:
            fault = f"the stack of {settings.state} serves {served}, not {self.project}"
            step = f"`cd {shlex.quote(str(self.project))} && windtunnel up -D` starts one for it"
            raise UsageError(f"{fault}: {step}; `windtunnel_project` names another project")

    def _started(self) -> Settings:
        session = self.config.stash[SESSION]
        places.begin_session(session, self.config.stash[OWNER])
        if not layout.dag_folders(Folder(self.project)):
            step = "make dags/, or let the fixture `windtunnel_project` return another folder"
            raise UsageError(f"{self.project} has no DAG folder: {step}")
        owner = places.REUSED if self.mode == "reuse" else session
        state = places.state_of(owner, self.project)
        self.config.stash[STATE] = state
        failure = places.state_of(session, self.project).parent / "failure"
        if self.mode == "reuse":
            self._begin_turn(state.parent)
        # The processes of pytest-xdist, and with `reuse` also other sessions, come here at once.
        with open(state.parent / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if failure.exists():
                raise WindtunnelError(failure.read_text())
            try:
                settings = self._running(state)
                if self.mode == "reuse":
                    self.config.stash[USE] = reuse.use(state)
                return settings
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
            if self.mode == "reuse":
                # The start of a session that was killed may be at work still.
                private.end(known)
            offset = ports.free_offset()
        elif reuse.variables_differ(state, self._variables(state)):
            # They count from a start on. The reused database stays.
            reuse.require_unused(state)
            private.end(known)
        elif known.project is None or not project_changes.changed(known.project, known):
            if self._found(known):
                return known
            private.end(known)
        else:
            reuse.require_unused(state)
            # `up` would wait for the tasks in hand, which belong to tests that have ended.
            private.end(known)
        began = time.monotonic()
        self._tell(f"windtunnel: starting a stack for {self.project} …")
        self._up(state, offset)
        reuse.note_variables(state, self._variables(state))
        settings = load(self._variables(state))
        self._set_workers(settings)
        self._require_ready(settings, self.seconds - (time.monotonic() - began))
        self._tell(f"windtunnel: the stack is ready after {time.monotonic() - began:.1f} s")
        return settings

    def _found(self, known: Settings) -> bool:
        """Whether the stack that runs can be used; if not, it is to be started anew."""
        shared = self.mode != "reuse" or reuse.is_used(known.state)
        try:
            faults.bring_back(known)
            self._set_workers(known)
            self._require_ready(known, None if shared else min(self.seconds, FOUND_SECONDS))
        except WindtunnelError as error:
            if shared:
                raise
            # What a killed session has left cannot be mended.
            self._tell(f"windtunnel: the stack that was found starts anew: {error}")
            return False
        return True

    def _set_workers(self, settings: Settings) -> None:
        if self.workers and len(process_compose.Compose(settings).workers()) != self.workers:
            scale.scale(settings, self.workers)

    def _require_ready(self, settings: Settings, seconds: float | None = None) -> None:
        limit = max(self.seconds if seconds is None else seconds, 1)
        began = time.monotonic()

        def tell(line: str) -> None:
            if time.monotonic() - began > up_command.SILENT_SECONDS:
                self._tell(f"windtunnel: {line.strip()}")

        wait.wait(settings, limit, tell)

    def _tell(self, line: str) -> None:
        say(self.config, line, of_all=True)

    def _up(self, state: Path, offset: int) -> None:
        command = [up_command.program(), "up", "-D", "--project", str(self.project)]
        log = state.parent / "up.log"
        # Other plugins, and many a conftest.py, export settings of Airflow for `dag.test()`.
        env = private.clean_environment(os.environ, airflow=False)
        env |= self._variables(state) | {"PORT_OFFSET": str(offset)}
        if self.workers:
            env["WORKERS"] = str(self.workers)
        # uv may name an index with its password.
        log.touch(mode=0o600)
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
                code = self._wait(process, log)
            except BaseException as error:
                # Also Ctrl-C: no start outlives its session.
                private.end(self._settings(state, offset))
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                fault = f"the stack did not start within {self.seconds:.0f} s"
                step = "set --windtunnel-start-timeout"
                raise WindtunnelError(f"{fault}: {step}\n{up_command.last_lines(log)}") from None
        if code:
            raise WindtunnelError(f"the stack did not start\n{up_command.last_lines(log)}")

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> int:
        progress = up_command.Progress(log, self._tell)
        end = time.monotonic() + self.seconds
        while True:
            try:
                return process.wait(min(0.5, max(end - time.monotonic(), 0)))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= end:
                    raise
                progress.show()

    def _settings(self, state: Path, offset: int) -> Settings:
        return load(self._variables(state) | {"PORT_OFFSET": str(offset)}, client=False)

    def _variables(self, state: Path) -> dict[str, str]:
        schedules = bool(self.config.getoption("--windtunnel-schedules"))
        # Runs that no test has started would change what a test sees.
        ours = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(schedules)}
        ours |= self.variables | {"WINDTUNNEL_STATE": str(state)}
        return ours | _named("WINDTUNNEL_ROOT") | self._named_project()

    def _named_project(self) -> dict[str, str]:
        # The checkout of windtunnel itself is no project.
        if self.project == find_root(os.environ, self.project):
            return {}
        return {"WINDTUNNEL_PROJECT": str(self.project)}


def _named(variable: str) -> dict[str, str]:
    return {variable: os.environ[variable]} if os.environ.get(variable) else {}
