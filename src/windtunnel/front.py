"""`nix run . -- WORDS`: operates the stack of the current folder without any program on PATH."""

from __future__ import annotations

import os
import sys
import textwrap

USAGE = """usage: nix run FLAKE [-- COMMAND [ARGUMENT ...]]

  (none), or options alone      start the stack here, as `process-compose up` (-D: in background)
  up --project DIR              start the stack of a project's folder, as `windtunnel up`
  COMMAND                       a command of `windtunnel`:{commands}
  down, process, attach ...     commands of `process-compose`
  airflow ...                   Airflow's own command line, on this stack
  COMMAND --help                the options of a command

A message that names `windtunnel status` or `process-compose down` means `nix run FLAKE -- status`
or `nix run FLAKE -- down` here.
"""


def main() -> None:
    """Replace this process by the command that the words stand for."""
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"], ["help"]):
        print(USAGE.format(commands=_listed(sorted(_ours() - {"up", "down", "airflow"}))), end="")
        return
    command = meant(words)
    sys.stdout.flush()
    os.execvp(command[0], command)


def meant(words: list[str]) -> list[str]:
    """The command line that these words stand for.

    A command of both `windtunnel` and `process-compose` is windtunnel's. `up` is, where it names a
    project: Nix cannot install a project's packages.
    """
    if words == ["--version"]:
        return ["windtunnel", *words]
    if not words or words[0].startswith("-"):
        return ["process-compose", "up", *words]
    if words[0] == "airflow":
        return [sys.executable, "-m", "windtunnel.environment", *words]
    from windtunnel.stack.launcher import COMMANDS

    ours = _ours()
    if words[0] == "up" and not any(word.split("=")[0] == "--project" for word in words):
        ours.remove("up")
    theirs = words[0] in COMMANDS and words[0] not in ours
    return ["process-compose" if theirs else "windtunnel", *words]


def _ours() -> set[str]:
    """The commands of `windtunnel`."""
    from windtunnel.cli import app

    registered = app.registered_commands
    return {str(each.name or getattr(each.callback, "__name__", "")) for each in registered}


def _listed(names: list[str]) -> str:
    """The names, in lines that stand below each other in the usage."""
    indent = "\n" + " " * 32
    return indent + indent.join(textwrap.wrap(", ".join(names), 64))


if __name__ == "__main__":
    main()
