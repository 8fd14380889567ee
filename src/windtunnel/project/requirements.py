"""Requirements and constraints in pip's format."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from windtunnel.project import claims
from windtunnel.project.claims import Claim, Packages
from windtunnel.project.folder import Folder, listed

#: Files that `-r` and `-c` may lead to.
MOST_FILES = 20
#: Options that say where packages are.
INDEX = re.compile(r"(--index-url|--extra-index-url|--find-links|-i|-f)[ =]+\S+")
#: Airflow's published constraints, whose address names both versions.
PUBLISHED = re.compile(r"/constraints-(\d[\w.]{0,20})/constraints-(?:[a-z-]+-)?(3\.\d{1,2})\.txt")


def read(folder: Folder, found: Packages, name: str, *, constrains: bool = False) -> None:
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
    left_out = []
    for number, line in _lines(text):
        option = re.match(r"(-r|-c|--requirement|--constraint)[ =]*(.*)", line)
        if option:
            _named(folder, found, name, option[2], option[1] in ("-c", "--constraint"))
        elif INDEX.fullmatch(line):
            found.indexes.append(line)
        elif line.startswith("-"):
            left_out.append(re.split(r"[ =]", line, maxsplit=1)[0])
        elif not claims.add(found, line, name, constrains):
            faulty.append(number)
    editable = sorted({"-e", "--editable"}.intersection(left_out))
    if editable:
        fault = f"{editable[0]} was left out: nothing may be written into this folder"
        folder.remark(name, fault, "src/ is on the import path; name the packages that it needs")
    others = sorted({*left_out} - {"-e", "--editable"})
    if others:
        fault = f"options that were left out: {listed(others)}"
        folder.remark(name, fault, "put what you need of them into uv.toml, for example")
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
        if published and claims.specifier(f"=={published[1]}") is not None:
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
        read(folder, found, str(path), constrains=constrains)
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
