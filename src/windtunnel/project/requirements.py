"""The Python packages that a project asks for, from its requirements, pyproject and lock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from windtunnel.project.folder import Folder
from windtunnel.project.parsing import LOCK_LIMIT, mapping, read_toml, texts

REQUIREMENTS = "requirements.txt"
CONSTRAINTS = "constraints.txt"
PYPROJECT = "pyproject.toml"
LOCK = "uv.lock"
#: Files of other tools that name packages.
OTHERS = ("Pipfile", "environment.yaml", "environment.yml", "poetry.lock", "pylock.toml")
#: Airflow's distributions that bear Airflow's own version.
AIRFLOW = ("apache-airflow", "apache-airflow-core")
#: Files that `-r` and `-c` may lead to.
MOST_FILES = 20
#: Characters of one requirement or specifier.
LONGEST_LINE = 2000
#: Airflow's published constraints, whose address names both versions.
PUBLISHED = re.compile(r"/constraints-(\d[\w.]{0,20})/constraints-(?:[a-z-]+-)?(3\.\d{1,2})\.txt")


@dataclass(frozen=True)
class Claim:
    """A statement about a version, and the file that makes it."""

    specifier: str
    source: str


@dataclass
class Packages:
    """The files that name packages, and the claims of these files, the strongest first."""

    files: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    lock: str | None = None
    #: Whether the project's own environment brings windtunnel, so that nothing is to be resolved.
    own_environment: bool = False
    count: int = 0
    airflow: list[Claim] = field(default_factory=list)
    python: list[Claim] = field(default_factory=list)


def find(folder: Folder) -> Packages:
    """The packages of a project: the lock's claims first, then those of the other files."""
    found = Packages()
    _lock(folder, found)
    _text_file(folder, found, REQUIREMENTS)
    _pyproject(folder, found)
    if folder.has_file(CONSTRAINTS):
        _text_file(folder, found, CONSTRAINTS, constrains=True)
    for name in OTHERS:
        if folder.has_file(name):
            folder.remark(name, "is not read", "export its packages to requirements.txt")
    return found


def _lock(folder: Folder, found: Packages) -> None:
    tables = read_toml(folder, LOCK, LOCK_LIMIT)
    if not tables:
        return
    found.lock = LOCK
    packages = tables.get("package")
    rows = [mapping(row) for row in packages] if isinstance(packages, list) else []
    for name in AIRFLOW:
        versions = sorted({str(row.get("version")) for row in rows if row.get("name") == name})
        known = [version for version in versions if _specifier(f"=={version}") is not None]
        if len(known) > 1:
            fault = f"pins {name} more than once ({', '.join(known[:5])})"
            folder.remark(LOCK, fault, "pin one of them in requirements.txt")
        elif known:
            found.airflow.append(Claim(f"=={known[0]}", LOCK))
            break
    if isinstance(wanted := tables.get("requires-python"), str):
        _python(found, wanted, LOCK)


def _pyproject(folder: Folder, found: Packages) -> None:
    tables = read_toml(folder, PYPROJECT)
    project = mapping(tables.get("project"))
    groups = mapping(tables.get("dependency-groups"))
    if mapping(mapping(tables.get("tool")).get("poetry")).get("dependencies"):
        fault = "the dependencies of [tool.poetry] are not read"
        folder.remark(PYPROJECT, fault, "move them to [project], or export requirements.txt")
    if not project and not groups:
        return
    found.files.append(PYPROJECT)
    if isinstance(wanted := project.get("requires-python"), str):
        # Stronger than the lock's copy of it.
        python = list(found.python)
        found.python.clear()
        _python(found, wanted, PYPROJECT)
        found.python += python
    lines = texts(project.get("dependencies"))
    for group in groups.values():
        lines += texts(group)
    faulty = [line for line in lines if not _requirement(found, line, PYPROJECT)]
    if faulty:
        fault = f"{len(faulty)} dependencies are no requirements and were left out"
        folder.remark(PYPROJECT, fault, "correct them")


def _text_file(folder: Folder, found: Packages, name: str, *, constrains: bool = False) -> None:
    """Reads a file in pip's format, and the files that it names with `-r` and `-c`."""
    ours = found.constraints if constrains else found.files
    if name in ours:
        return
    if len(found.files) + len(found.constraints) >= MOST_FILES:
        folder.remark(name, "was not read: too many files name each other", "join them")
        return
    text = folder.read(name)
    if text is None:
        return
    ours.append(name)
    faulty = []
    for number, line in _lines(text):
        option = re.match(r"(-r|-c|--requirement|--constraint)[ =]*(.*)", line)
        if option:
            _named(folder, found, name, option[2], option[1] in ("-c", "--constraint"))
        elif not line.startswith("-") and not _requirement(found, line, name, constrains):
            faulty.append(number)
    if faulty:
        # Not the text: an address may hold a password.
        numbers = ", ".join(str(number) for number in faulty[:5])
        fault = f"{len(faulty)} lines are no named requirements and were left out: {numbers}"
        folder.remark(name, fault, "write each as NAME==VERSION or NAME @ ADDRESS")


def _named(folder: Folder, found: Packages, name: str, target: str, constrains: bool) -> None:
    """Follows `-r FILE` or `-c FILE`, within the project's folder only."""
    target = target.strip("\"' ")
    if "://" in target:
        published = PUBLISHED.search(target)
        if published and _specifier(f"=={published[1]}") is not None:
            found.airflow.append(Claim(f"=={published[1]}", name))
            found.python.append(Claim(f"=={published[2]}.*", name))
        else:
            folder.remark(name, "names a file at an address; it was not read", "keep a copy here")
        return
    path = PurePosixPath(name).parent / target
    if path.is_absolute() or ".." in path.parts:
        fault = "names a file outside this folder; it was not read"
        folder.remark(name, fault, "keep a copy here")
    elif folder.has_file(str(path)):
        _text_file(folder, found, str(path), constrains=constrains)
    else:
        folder.remark(str(path), f"is not there, but {name} names it", "add it, or take it out")


def _lines(text: str) -> list[tuple[int, str]]:
    """(line number, text) without comments and hashes; a backslash continues a line."""
    lines: list[tuple[int, str]] = []
    begun = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = begun + re.sub(r"(^|\s)#.*", "", raw).strip()
        begun = ""
        if line.endswith("\\"):
            begun = line[:-1] + " "
            continue
        line = line.partition(" --")[0].strip() if not line.startswith("-") else line
        if line:
            lines.append((number, line))
    return lines


def _requirement(found: Packages, line: str, source: str, constrains: bool = False) -> bool:
    """Counts one requirement; returns whether it is one."""
    if len(line) > LONGEST_LINE:
        return False
    try:
        requirement = Requirement(line)
    except (ValueError, RecursionError):
        return False
    found.count += 0 if constrains else 1
    name = canonicalize_name(requirement.name)
    if name == "windtunnel" and source == PYPROJECT:
        found.own_environment = True
    if name in AIRFLOW and requirement.specifier:
        found.airflow.append(Claim(str(requirement.specifier), source))
    return True


def _python(found: Packages, text: str, source: str) -> None:
    if _specifier(text) is not None:
        found.python.append(Claim(text, source))


def _specifier(text: str) -> SpecifierSet | None:
    if len(text) > LONGEST_LINE:
        return None
    try:
        return SpecifierSet(text)
    except ValueError:
        return None
