"""`packages.txt`: packages of the system, which nothing here installs."""

from __future__ import annotations

import re

from windtunnel.project.folder import Folder, listed

NAME = "packages.txt"
#: Debian's policy, 5.6.1, and a version behind `=`.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,80}(?:=\S{1,60})?")


def names(folder: Folder) -> list[str]:
    """The packages, without their versions."""
    found: list[str] = []
    faulty = 0
    for line in (folder.read(NAME) or "").splitlines():
        for word in line.partition("#")[0].split():
            if PACKAGE.fullmatch(word):
                found.append(word.partition("=")[0])
            else:
                faulty += 1
    if faulty:
        folder.remark(NAME, f"{faulty} words are no names of packages", "take them out")
    if found:
        fault = f"packages of the system are not installed here: {listed(found)}"
        step = "install those that your tasks need, for example with `sudo apt-get install`"
        folder.remark(NAME, fault, step)
    return found
