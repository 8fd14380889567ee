"""Whether a path lies in Nix's store, wherever that store is: `nix --store` and others move it."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: What lies in the store: 32 digits of Nix's base 32, a dash and a name.
OBJECT = re.compile(r"[0-9a-df-np-sv-z]{32}-.+")


def holds(path: str | os.PathLike[str]) -> bool:
    return any(OBJECT.fullmatch(part) for part in Path(path).parts)
