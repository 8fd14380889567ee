"""`nix run . -- WORDS`: operates the stack of the current folder without any program on PATH."""

from __future__ import annotations

import os
import sys

USAGE = """usage: nix run FLAKE [-- COMMAND [ARGUMENT ...]]

  (none), or options alone      start the stack here, as `process-compose up` (-D: in background)
  status, wait, run DAG, scale 3, drain, drill, doctor, reset ...      commands of `windtunnel`
  down, process, attach ...     commands of `process-compose`
  airflow ...                   Airflow's own command line, on this stack
"""


def main() -> None:
    """Replace this process by the command that the words stand for."""
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"], ["help"]):
        print(USAGE, end="")
        return
    command = meant(words)
    sys.stdout.flush()
    os.execvp(command[0], command)


def meant(words: list[str]) -> list[str]:
    """The command line that these words stand for.

    A command of both `windtunnel` and `process-compose` is windtunnel's, except `up`: Nix cannot
    install a project's packages.
    """
    if not words or words[0].startswith("-"):
        return ["process-compose", "up", *words]
    if words[0] == "airflow":
        return [sys.executable, "-m", "windtunnel.environment", *words]
    from windtunnel.cli import app
    from windtunnel.stack.launcher import COMMANDS

    registered = app.registered_commands
    ours = {command.name or getattr(command.callback, "__name__", "") for command in registered}
    theirs = words[0] in COMMANDS and words[0] not in ours - {"up"}
    return ["process-compose" if theirs else "windtunnel", *words]


if __name__ == "__main__":
    main()
