"""The base image in a Dockerfile, and one line about the instructions that are not executed."""

from __future__ import annotations

import re
from collections import Counter

from windtunnel.project.folder import Folder, clean

NAME = "Dockerfile"
#: Characters of a default or an image. Without a bound, defaults that repeat each other double.
LONGEST = 300
#: Only these change nothing that a stack on this machine would miss.
HARMLESS = frozenset({"FROM", "ARG", "LABEL", "MAINTAINER", "EXPOSE", "USER", "WORKDIR", "SHELL"})
REFERENCE = re.compile(r"\$(?:\{(\w+)(?::?-([^${}]*))?\}|(\w+))")


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each line, without comments; a backslash continues a line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    words = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(first.upper(), rest.strip()) for first, _, rest in words]


def expand(text: str, values: dict[str, str]) -> str:
    """Replaces `$NAME`, `${NAME}` and `${NAME:-default}` once; unknown names become empty."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3]) or match[2] or ""

    return REFERENCE.sub(value, text)


def base_image(folder: Folder, file: str = NAME) -> str | None:
    """The image that the last stage is built from, through earlier stages and defaults of ARG."""
    text = folder.read(file)
    if text is None:
        return None
    values: dict[str, str] = {}
    stages: dict[str, str] = {}
    image = None
    found = instructions(text)
    for instruction, rest in found:
        if instruction == "ARG" and image is None:
            name, _, default = rest.partition("=")
            values[name.strip()] = expand(default.strip().strip("\"'")[:LONGEST], values)[:LONGEST]
        if instruction == "FROM":
            given = expand(rest[:LONGEST], values).split()
            words = [word for word in given if not word.startswith("--")]
            image = stages.get(words[0].lower(), words[0]) if words else None
            if image and len(words) > 2 and words[1].lower() == "as":
                stages[words[2].lower()] = image
    _remark(folder, file, Counter(name for name, _ in found if name not in HARMLESS))
    return image


def _remark(folder: Folder, file: str, counts: Counter[str]) -> None:
    known = {name: count for name, count in counts.items() if re.fullmatch(r"[A-Z]{2,12}", name)}
    if known:
        shown = clean(", ".join(f"{count} {name}" for name, count in sorted(known.items())))
        fault = f"its other instructions are not executed ({shown})"
        step = "have on this machine what your tasks need of them; variables belong into .env"
        folder.remark(file, fault, step)
