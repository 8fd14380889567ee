"""The folders of test stacks, below the cache folder: nothing lies in a project's own folder.

`SESSION/STACK/state` is one stack. A session's folder names the process that ends its stacks. The
next session ends what a killed one has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.project import environment, record
from windtunnel.project.environment import FOLDER as ENVIRONMENTS
from windtunnel.settings import Settings, is_running, load
from windtunnel.stack import private
from windtunnel.system import procfs
from windtunnel.system.cache_folder import cache

OWNER = "owner.json"
#: The folder of stacks that outlive their session.
REUSED = "reused"
#: An environment and a reused stack that rests are deleted when nobody has used them so long.
UNUSED_SECONDS = 14 * 86400.0


_cache: Path | None = None


def base() -> Path:
    """The folder of all test stacks of this user."""
    return (_cache or cache()) / "testing"


@contextmanager
def below(folder: str) -> Iterator[None]:
    """Have the test stacks below this cache folder, whatever HOME a test has set; empty for none.

    A stack that one process had started elsewhere would never be ended by another one.
    """
    global _cache
    former, _cache = _cache, Path(folder) if folder else None
    try:
        yield
    finally:
        _cache = former


def state_of(session: str, project: Path) -> Path:
    """The state folder of a session's stack of one project, made where it is missing."""
    state = base() / session / name_of(project) / "state"
    state.mkdir(parents=True, exist_ok=True)
    # Environments take a while to make, so that all sessions share them.
    shared = base() / ENVIRONMENTS
    shared.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (state / ENVIRONMENTS).symlink_to(shared)
    return state


@contextmanager
def starting(project: Path) -> Iterator[None]:
    """Hold the lock of the project's starts: two could make the same environment at once."""
    with open(base() / ENVIRONMENTS / f"{name_of(project)}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Who had the lock may have been killed, and its `up` may still be at work.
        with _alone():
            _end_dead()
        yield


def name_of(project: Path) -> str:
    return hashlib.sha256(os.fsencode(project)).hexdigest()[:12]


def settings_of(state: Path) -> Settings:
    """The settings of a test stack, for its end."""
    variables = {
        "WINDTUNNEL_STATE": str(state),
        "WINDTUNNEL_ROOT": os.environ.get("WINDTUNNEL_ROOT", ""),
    }
    return load(variables, client=False)


def begin_session(session: str, owner: int) -> Path:
    """Make the session's folder, and end what sessions have left whose process is dead."""
    folder = base() / session
    if (folder / OWNER).exists():
        return folder
    base().mkdir(parents=True, exist_ok=True)
    with _alone():
        if not folder.exists():
            process = procfs.read(owner)
            start = process.start if process else 0
            folder.mkdir()
            text = json.dumps({"pid": owner, "start": start, "boot": procfs.boot_id()})
            (folder / OWNER).write_text(text)
        _end_dead()
        _remove_unused()
    return folder


def _end_dead() -> None:
    """End what sessions have left whose process is dead."""
    for other in base().iterdir():
        is_session = other.is_dir() and other.name not in (ENVIRONMENTS, REUSED)
        # Without the file its process died before it wrote it: both happen under this lock.
        if is_session and not _lives(other):
            _end(other)


def keep_session(session: str) -> None:
    """Let a session's stacks run on after it, until somebody stops them."""
    with contextlib.suppress(OSError):
        (base() / session / OWNER).write_text(json.dumps({"kept": True}))


def end_session(session: str) -> None:
    """End every stack of a session and delete its folder.

    Raises:
        WindtunnelError: a process could not be ended.
    """
    if (base() / session).exists():
        with _alone():
            _end(base() / session)


def running(session: str, project: Path) -> list[Path]:
    """The state folders of stacks that run, of this session and the reused one of the project."""
    reused = base() / REUSED / name_of(project.resolve()) / "state"
    found = [*base().glob(f"{session}/*/state"), reused]
    return [state for state in found if is_running(state)]


def _lives(session: Path) -> bool:
    try:
        known = json.loads((session / OWNER).read_text())
        if known.get("kept"):
            return any(is_running(state) for state in session.glob("*/state"))
        # In a container nobody may reap a process that was killed.
        alive = procfs.alive(known["pid"], known["start"])
        return alive and bool(known["boot"] == procfs.boot_id())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _end(folder: Path) -> None:
    for state in folder.glob("*/state"):
        private.destroy(settings_of(state))
    shutil.rmtree(folder, ignore_errors=True)


def note_use(state: Path) -> None:
    """Mark a stack and its environment as used now, so that they are kept."""
    used = Path(record.interpreter(state)).parents[1]
    shared = used.parent == (base() / ENVIRONMENTS).resolve()
    for path in (state, used) if shared else (state,):
        with contextlib.suppress(OSError):
            os.utime(path)


def _remove_unused() -> None:
    for path in (base() / ENVIRONMENTS).glob("*"):
        if _is_unused(path):
            environment.remove(path) if path.is_dir() else path.unlink()
    for state in (base() / REUSED).glob("*/state"):
        if _is_unused(state) and not is_running(state):
            private.destroy(settings_of(state))
            shutil.rmtree(state.parent, ignore_errors=True)


def _is_unused(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > UNUSED_SECONDS
    except OSError:
        return False


@contextmanager
def _alone() -> Iterator[None]:
    with open(base() / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
