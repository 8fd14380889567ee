"""The `process-compose` that is first on PATH: checks, prepares, then executes the real binary.

The reason for a launcher: docs/adr/0002-launcher.md.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from windtunnel.clients import process_compose
from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.project import record
from windtunnel.settings import Settings, load
from windtunnel.stack import command_line
from windtunnel.stack.real_binary import real_binary

#: Commands of the real binary that talk to a running stack.
CLIENTS = {"analyze", "attach", "graph", "list", "monitor", "namespace", "process", "project"}
#: All commands of the real binary.
COMMANDS = CLIENTS | {
    "up",
    "down",
    "run",
    "recipe",
    "version",
    "info",
    "completion",
    "docs",
    "help",
    "schema",
}


def main() -> None:
    """Entry point: ends with the real binary's exit code, or with one line and an exit code."""
    try:
        sys.exit(launch(sys.argv[1:]))
    except (WindtunnelError, OSError, KeyboardInterrupt) as error:
        from windtunnel.stack import last_line

        sys.exit(last_line.ended_by(error))


def launch(arguments: list[str]) -> int:
    """Execute a process-compose command line.

    Returns:
        The exit code; never when the real binary replaces this process.
    """
    words = [a for a in arguments if not a.startswith("-")]
    command = next((a for a in words if a in COMMANDS), "up")
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    # A shell that completes a word asks with commands of two underscores.
    only_tells = asks_for_help or arguments[:1] in (["__complete"], ["__completeNoDesc"])
    starts = command in ("up", "run") and not only_tells
    if starts:
        from windtunnel.stack import locks, up

        load()  # A variable that contradicts a running stack is the mistake to name.
        with locks.choosing_ports():
            settings, start = _start(arguments, command)
        return up.migrated(settings, start)
    settings = load()
    _export(settings)
    if only_tells:
        return _become(arguments)
    if command == "down":
        from windtunnel.stack import down

        unknown = [a for a in arguments if a not in ("down", "--now")]
        if unknown:
            raise UsageError(f"process-compose down takes only --now, not {unknown[0]}")
        return down.down(settings, now="--now" in arguments)
    scales = words[:2] == ["process", "scale"] and len(words) >= 3
    if scales and process_compose.is_worker(words[2]):
        return _scale(settings, arguments)
    command_line.check(real_binary(), arguments, starts=False)
    if command in CLIENTS:
        process_compose.require(settings)
    return _become(command_line.named(settings, arguments, words))


def _start(arguments: list[str], command: str) -> tuple[Settings, float]:
    from windtunnel.stack import programs, up

    settings = load(client=False)
    if settings.project:
        # As the last `windtunnel up` has made it.
        programs.change_to(record.interpreter(settings.state), arguments)
    settings = _beside_others(settings)
    _export(settings)
    binary = real_binary()
    command_line.check(binary, arguments, starts=command == "up")
    return settings, up.up(settings, binary, arguments, dry_run="--dry-run" in arguments)


def _export(settings: Settings) -> None:
    """Give process-compose the variables of the stack."""
    os.environ.update(settings.environment())
    # In the stack's own processes the state folder is named.
    os.environ.pop("WINDTUNNEL_SHELL_STATE", None)
    if not sys.stdout.isatty():
        os.environ["PC_DISABLE_TUI"] = "1"
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    if not (configuration / "process-compose").is_dir():
        # Otherwise process-compose creates that folder, and complains on stderr until it has.
        os.environ.setdefault("PROC_COMP_CONFIG", str(settings.run))


def _beside_others(settings: Settings) -> Settings:
    """The same stack on other ports, where another stack of ours has the default ones."""
    from windtunnel.stack import ports
    from windtunnel.stack.say import say

    offset = ports.beside_others(settings)
    if offset == settings.port_offset or os.environ.get("PORT_OFFSET", "").strip():
        return settings
    say(f"another stack has the default ports; this one takes PORT_OFFSET={offset}")
    os.environ["PORT_OFFSET"] = str(offset)
    return load(client=False)


def _scale(settings: Settings, arguments: list[str]) -> int:
    from windtunnel.stack import scale

    # A negative count looks like an option, so the count is the word after the process's name.
    after = arguments[arguments.index("scale") + 2 :]
    count = scale.parse_count(after[0] if after else "")
    command_line.check(real_binary(), arguments, starts=False)
    workers = scale.scale(settings, count)
    noun = "worker" if len(workers) == 1 else "workers"
    print(f"{len(workers)} {noun}: {', '.join(worker.name for worker in workers)}")
    return Exit.OK


def _become(arguments: list[str]) -> int:
    binary = real_binary()
    # Never the server's own log: a client empties its log file when it starts.
    logs = Path(os.environ["WINDTUNNEL_STATE"]) / "logs"
    log = logs / "process-compose-client.log"
    os.environ["PC_LOG_FILE"] = str(log) if logs.is_dir() else os.devnull
    os.execv(binary, [binary, *arguments])
    raise AssertionError("unreachable")
