"""Lets the real process-compose judge its command line before anything is done with it.

Else a mistake would be answered by what comes first, such as "running already", or by a page of
usage without a next step.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from windtunnel.clients import process_compose
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import PROJECT_PROCESSES, Settings

#: Commands of `process-compose process` that take the name of a process.
NAMED = {"get", "logs", "ports", "restart", "start", "stop"}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def check(
    binary: str,
    arguments: list[str],
    *,
    starts: bool,
    env: Mapping[str, str] = os.environ,
) -> None:
    """Raise where process-compose cannot use these arguments. It takes 0.05 s.

    Args:
        starts: whether this is `up`, which can also check the names of processes.

    Raises:
        UsageError: an option, a value, a command or a process that does not exist.
        WindtunnelError: the file of the stack cannot be used.
    """
    # The first place and the `=` keep it from being taken for the value of another option.
    question = "--dry-run=true" if starts else "--help=true"
    done = subprocess.run(
        [binary, question, *arguments],
        # Otherwise even this leaves a log in the temporary folder.
        env={**env, "PC_LOG_FILE": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    usage = re.search(r"^ +process-compose((?: [a-z-]+)*)(.*)", done.stdout + done.stderr, re.M)
    path = ["up"] if starts else []
    if usage:
        path = usage[1].split()
    command = " ".join(["process-compose", *path])
    if done.returncode:
        reason, of_words = _reason(done.stderr)
        if of_words:
            raise UsageError(f"process-compose: {reason}: see `{command} --help`")
        # Ours is tested; a project's is merged over it.
        files = [Path(each) for each in env.get("PC_CONFIG_FILES", "").split(",")]
        if files[-1].name == PROJECT_PROCESSES:
            raise WindtunnelError(f"{files[-1]} cannot be used: {reason}: mend it")
        step = "mend the file; `process-compose up --dry-run` checks it"
        raise WindtunnelError(f"process-compose: {reason}: {step}")
    # process-compose shows the usage of a group, and ends with 0, for a word that is no command.
    words = [word for word in arguments if not word.startswith("-")]
    if usage and usage[2] == " [command]" and words[: len(path)] == path != words:
        raise UsageError(f"there is no {command} {words[len(path)]}: see `{command} --help`")


def named(settings: Settings, arguments: list[str], words: list[str]) -> list[str]:
    """The command line with Celery's names of workers replaced by those of process-compose now.

    Raises:
        UsageError: there is no such process. `logs` of the real binary would wait for ever.
    """
    takes_name = words[:1] == ["process"] and not NAMED.isdisjoint(words[1:2])
    if not takes_name or words[1:3] == ["logs", "truncate"]:
        return arguments
    rows = process_compose.Compose(settings).processes()
    now = {process_compose.node(row.name): row.name for row in rows}
    now |= {row.name: row.name for row in rows}
    for name in words[2].split(",") if len(words) > 2 else [""]:
        if name not in now:
            fault = f"there is no process {name!r}" if name else "the name of a process is missing"
            raise UsageError(f"{fault}; there are {', '.join(sorted(row.name for row in rows))}")
    return [",".join(now.get(name, name) for name in word.split(",")) for word in arguments]


def _reason(text: str) -> tuple[str, bool]:
    """The error in the output of process-compose, and whether a word of the command line is wrong.

    It is a plain line, or the fatal one of its log.
    """
    lines = COLOURS.sub("", text).splitlines()
    for line in lines:
        if line.startswith("Error: "):
            return line.removeprefix("Error: "), True
        if found := re.search(r' FTL (.*?)(?: error="?(.*?)"?)?$', line):
            reason = found[2] or found[1]
            return reason, reason.startswith("no such process")
    return " ".join(lines[-1:]) or "it gives no reason", True
