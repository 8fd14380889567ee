"""What the documents claim, checked against what is there. Each check returns what it found wrong, as texts."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from windtunnel.cli import app

ROOT = Path(__file__).resolve().parents[2]

GLOBAL = {"-h", "--help", "-f", "-L"}
#: process-compose's commands that the documents may show, with their options; test_docs.py compares them with the binary's help.
PROCESS_COMPOSE: dict[tuple[str, ...], set[str]] = {
    ("up",): {"-D", "--detached", "-f", "--config", "--dry-run", "-t", "--tui", "--no-deps"},
    ("down",): set(),
    ("attach",): set(),
    ("version",): {"--short"},
    ("process", "list"): {"-o", "--output"},
    ("process", "get"): {"-o", "--output"},
    ("process", "start"): set(),
    ("process", "stop"): set(),
    ("process", "restart"): set(),
    ("process", "scale"): set(),
    ("process", "logs"): {"-f", "--follow", "-n", "--tail", "--raw-log"},
    ("project", "is-ready"): {"--wait"},
    ("project", "update"): {"-f", "--config"},
}
#: Options that our launcher of that name adds.
LAUNCHER: dict[tuple[str, ...], set[str]] = {("down",): {"--now"}}
#: What else `./dev` is shown with.
PROGRAMS = {
    "process-compose",
    "windtunnel",
    "pytest",
    "airflow",
    "true",
    "ruff",
    "mypy",
    "lint-imports",
    "python",
    "codespell",
    "pg_dump",
    "pg_restore",
    "uv",
    "tools/bench-chart",
}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]\[]*\]\(([^)\s]+)\)")
TEST = re.compile(r"\b(tests/[\w/]+\.py)(?:::(\w+))?")
MOST_WORDS = 25
WORD = re.compile(r"[\w`'’./:%@=*_-]+")
PATH = re.compile(
    r"^(?:src|tests|docs|tools|nix|nixos-tests|dags|airflow-home|templates)/[\w./-]*$"
)


def documents() -> list[Path]:
    """The README first."""
    at_the_root = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*at_the_root, *sorted((ROOT / "docs").rglob("*.md"))]


# -- commands ------------------------------------------------------------------------------------


def _shell(text: str) -> Iterator[str]:
    """The commands of a block of shell: no prompts, no comments, one at a time."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"^\$ ", "", line.strip())
        line = re.sub(r"\$\(([^)]*)\)", r"; \1 ;", line)
        yield from re.split(r"&&|\|\||[|;]", re.sub(r"(^|\s)#.*", "", line))


def commands(document: str) -> Iterator[list[str]]:
    """Every command of ours that a document shows, as words, without `./dev` and assignments."""
    shown = [
        line
        for language, body in FENCE.findall(document)
        if language in ("", "sh", "bash", "console")
        for line in _shell(body)
    ]
    shown += INLINE.findall(FENCE.sub("", document))
    for line in shown:
        text = (
            line.replace("…", "")
            .replace("[", " ")
            .replace("]", " ")
            .replace("...", "")
            .strip()
            .rstrip("\"'")
        )
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        while words and re.match(r"^[A-Z_]+=", words[0]):
            words = words[1:]
        behind_dev = words[:1] == ["./dev"]
        words = words[1:] if behind_dev else words
        if words and (
            behind_dev or (len(words) > 1 and words[0] in ("windtunnel", "process-compose"))
        ):
            yield words


def wrong_command(words: list[str]) -> str | None:
    """Why a command cannot be typed as shown; None where it can."""
    options = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-zA-Z]", word)}
    plain = [word for word in words[1:] if not word.startswith("-")]
    shown = " ".join(words)
    if words[0] == "windtunnel":
        group = typer.main.get_command(app)
        known: dict[str, Any] = getattr(group, "commands", {})
        if not plain:
            offered = {option for parameter in group.params for option in parameter.opts}
            return None if options <= offered | {"--help", "-h"} else f"{shown}: unknown option"
        if plain[0] not in known:
            return f"{shown}: windtunnel has no command {plain[0]}"
        allowed = {opt for parameter in known[plain[0]].params for opt in parameter.opts} | {
            "--help",
            "-h",
        }
        return (
            f"{shown}: no option {', '.join(sorted(options - allowed))}"
            if options - allowed
            else None
        )
    if words[0] == "process-compose":
        rest = words[3:] if words[1:2] == ["-f"] else words[1:]
        if not rest or (options <= {"-h", "--help"} and not plain):
            return None
        key = next((key for key in PROCESS_COMPOSE if tuple(rest[: len(key)]) == key), None)
        if key is None:
            return f"{shown}: not a command of process-compose that we know"
        unknown = options - PROCESS_COMPOSE[key] - GLOBAL - LAUNCHER.get(key, set())
        return f"{shown}: no option {', '.join(sorted(unknown))}" if unknown else None
    return (
        None
        if words[0] in PROGRAMS or words[0].isupper()
        else f"{shown}: {words[0]} is not known behind ./dev"
    )


def wrong_commands(document: str) -> list[str]:
    return [wrong for words in commands(document) if (wrong := wrong_command(words))]


# -- links, paths, tests -------------------------------------------------------------------------


def _anchors(markdown: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", markdown), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def dead_links(document: str, at: Path) -> list[str]:
    wrong = []
    for target in LINK.findall(FENCE.sub("", document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (at.parent / path).resolve() if path else at
        if not file.exists():
            wrong.append(f"{target} is not there")
        elif anchor and anchor not in _anchors(document if not path else file.read_text()):
            wrong.append(f"{target}: no such heading")
    return wrong


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def dead_tests(document: str) -> list[str]:
    wrong = []
    for path, name in TEST.findall(document):
        if not (ROOT / path).is_file():
            wrong.append(f"{path} is not there")
        elif name and name not in _functions(ROOT / path):
            wrong.append(f"{path} has no {name}")
    return wrong


def dead_paths(document: str) -> list[str]:
    """Files of the project that a document names in passing."""
    plain = FENCE.sub("", document)
    return [
        f"{text} is not there"
        for text in INLINE.findall(plain)
        if PATH.match(text) and "::" not in text and not (ROOT / text).exists()
    ]


def machine_paths(document: str) -> list[str]:
    return re.findall(r"(?:/work|/root|/home/\w+)/\S*", document)


# -- sentences -----------------------------------------------------------------------------------


def _paragraphs(markdown: str) -> Iterator[str]:
    """Each paragraph, item of a list and cell of a table, without fences and targets of links."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", FENCE.sub("", markdown))
    lines: list[str] = []
    for line in [*plain.splitlines(), ""]:
        item = re.match(r"\s*(?:[-*]|\d+\.|#+|>) (.*)", line)
        row = line.startswith("|")
        if lines and (item or row or not line.strip()):
            yield " ".join(lines)
            lines = []
        if row:
            yield from line.strip("| ").split(" | ")
        elif line.strip():
            lines.append(item[1] if item else line.strip())


def long_sentences(markdown: str) -> list[str]:
    """Sentences of more than MOST_WORDS words.

    A colon or a semicolon ends one too, and a dot between links.
    """
    sentences = [
        sentence
        for paragraph in _paragraphs(markdown)
        for sentence in re.split(r"(?<=[.!?:;])\**\s+(?=[A-Z`*\"\d(])| · ", paragraph)
    ]
    return [text for text in sentences if len(WORD.findall(text)) > MOST_WORDS]


# -- tables --------------------------------------------------------------------------------------


def first_cells(document: str, heading: str = "") -> list[str]:
    """The code in the first cell of each table row, below a heading or in the whole document."""
    part = document[document.index(heading) :] if heading else document
    return re.findall(r"^\| `([^`]+)`", part, re.M)


def events(source: str) -> set[str]:
    """The names of the events that a module logs."""
    return set(re.findall(r'(?:\.say|\.incident|logs\.event)\(\s*"(\w+)"', source))


def promised(guarantees: str) -> dict[str, list[str]]:
    """Rows of docs/reference/guarantees.md: number or name -> the tests that prove it.

    The names tell the rows of its three tables apart.
    """
    found: dict[str, list[str]] = {}
    for kind, heading in (
        ("row ", "Failures"),
        ("", "Requirements"),
        ("acceptance ", "Acceptance"),
    ):
        body = guarantees[guarantees.index(f"## {heading}\n") :].partition("\n## ")[0]
        for cell, rest in re.findall(r"^\| (\d+|NFR-\d) \|(.*)$", body, re.M):
            names = [f"{path}::{name}" for path, name in TEST.findall(rest) if name]
            found.setdefault(kind + cell, []).extend(names)
    return found


def failures(readme: str) -> dict[str, str]:
    """The README's table of failures: number -> failure."""
    return dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", readme, re.M))


def benchmark_medians(benchmarks: str) -> dict[str, tuple[str, ...]]:
    """The table of docs/BENCHMARKS.md: figure -> the medians of windtunnel and stock, as written.

    A row's remark on the number of slots is no part of the figure's title.
    """
    table = benchmarks[benchmarks.index("| work | unit | windtunnel | stock |") :].partition(
        "\n\n"
    )[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]
    titles = [row[0].partition(", 2 slots beside")[0] for row in rows]
    medians = [tuple(cell.split()[0].replace(",", "") for cell in row[2:4]) for row in rows]
    return dict(zip(titles, medians, strict=True))
