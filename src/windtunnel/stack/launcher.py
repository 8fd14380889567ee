"""`process-compose`, first on PATH: checks and prepares what the binary cannot, then executes the real one.

Why there is a launcher: docs/adr/0002-launcher.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import Settings, load

OLDEST = (1, 103)
COMMANDS = {
    *("up", "down", "run", "attach", "list", "process", "project", "namespace", "graph", "analyze", "recipe"),
    *("version", "info", "completion", "docs", "help", "schema", "monitor"),
}
#: Commands of the real binary that talk to a running stack.
CLIENTS = {"attach", "list", "process", "project", "namespace", "monitor"}


def main() -> None:
    """Entry point; ends with the real binary's exit code or one clear line."""
    try:
        sys.exit(launch(sys.argv[1:]))
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"windtunnel: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(Exit.FAILED)


def launch(arguments: list[str]) -> int:
    """Do what a process-compose command line asks; returns the exit code, or never where the real binary takes over."""
    words = [a for a in arguments if not a.startswith("-")]
    command = next((a for a in words if a in COMMANDS), "up")
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    starts = command in ("up", "run") and not asks_for_help
    settings = load(client=not starts)
    os.environ.update(settings.environment())
    if not sys.stdout.isatty():
        os.environ["PC_DISABLE_TUI"] = "1"
    personal = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "process-compose"
    if not personal.is_dir():
        # Otherwise it makes that folder, and complains on stderr until it has.
        os.environ.setdefault("PROC_COMP_CONFIG", str(settings.run))
    if asks_for_help:
        return _become(arguments)
    if starts:
        from windtunnel.stack import up

        return up.up(settings, real_binary(), arguments, dry_run="--dry-run" in arguments)
    if command == "down":
        from windtunnel.stack import down

        rest = [a for a in arguments if a != "--now"]
        return down.down(settings, real_binary(), rest, now=rest != arguments)
    if command in CLIENTS:
        process_compose.require(settings)
    if words[:2] == ["process", "scale"] and len(words) >= 3 and process_compose.is_worker(words[2]):
        return _scale(settings, arguments)
    return _become(arguments)


def _scale(settings: Settings, arguments: list[str]) -> int:
    from windtunnel.stack import scale

    # A negative count looks like an option: take what follows the process's name.
    after = arguments[arguments.index("scale") + 2 :]
    workers = scale.scale(settings, scale.parse_count(after[0] if after else ""))
    print(f"{len(workers)} {'worker' if len(workers) == 1 else 'workers'}: {', '.join(w.name for w in workers)}")
    return Exit.OK


def real_binary() -> str:
    """Path of the real process-compose.

    Raises:
        WindtunnelError: there is none, or it is older than this project supports.
    """
    path = os.environ.get("WINDTUNNEL_PROCESS_COMPOSE") or _search()
    if path is None or not os.access(path, os.X_OK):
        raise WindtunnelError("process-compose itself is not installed: run this through ./dev or `nix develop`, which bring it")
    # Otherwise even this leaves a log in the temporary folder.
    env = {**os.environ, "PC_LOG_FILE": os.devnull}
    shown = subprocess.run([path, "version", "--short"], env=env, capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"v?(\d+)\.(\d+)", shown)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise WindtunnelError(
            f"{path} is process-compose {numbers[0]}, which loses workers when scaling; {OLDEST[0]}.{OLDEST[1]} or newer is needed: "
            "upgrade it, or unset WINDTUNNEL_PROCESS_COMPOSE and let ./dev build one"
        )
    return path


def _search() -> str | None:
    ourselves = Path(sys.argv[0]).resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        candidate = shutil.which("process-compose", path=folder) if folder else None
        if candidate and Path(candidate).resolve() != ourselves and b"windtunnel.stack.launcher" not in Path(candidate).read_bytes()[:400]:
            return candidate
    return None


def _become(arguments: list[str]) -> int:
    binary = real_binary()
    # Never the server's own log: a client cuts its log file to nothing when it starts.
    logs = Path(os.environ["WINDTUNNEL_STATE"]) / "logs"
    os.environ["PC_LOG_FILE"] = str(logs / "process-compose-client.log") if logs.is_dir() else os.devnull
    os.execv(binary, [binary, *arguments])
    raise AssertionError("unreachable")
