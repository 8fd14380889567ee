"""`run/impatience.json`: the test blocks that have the stack wait for a shorter time.

Each block of `Windtunnel.impatient` is a holder, also those of other processes. The largest factor
of all holders applies to the whole stack. A holder whose process has ended does not count.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "impatience.json"
#: The beginning of `Impatience.tag`.
TAG = "impatient x"
#: The factor of a stack that nobody has made impatient.
NONE = 1.0
#: More would only burn processor time.
MOST = 1_000_000.0


@dataclass(frozen=True)
class Impatience:
    """`since` is when this factor began to apply, in Unix seconds."""

    factor: float = NONE
    since: float = 0.0

    @property
    def tag(self) -> str:
        """The tag of a DAG that was read with this factor; empty for none."""
        return f"{TAG}{self.factor:g}" if self.factor > NONE else ""


def read(folder: Path | str) -> Impatience:
    """What applies now. A file that cannot be read or understood changes nothing.

    Args:
        folder: the stack's `run` folder.
    """
    file = os.path.join(folder, NAME)  # noqa: PTH118
    # Nearly every stack has no such file: this is all it costs, for each DAG that is read.
    if not os.path.exists(file):  # noqa: PTH110
        return Impatience()
    return _effective(_load(Path(file)))


def hold(folder: Path, factor: float) -> str:
    """Add a holder, which this process is. Returns its id."""
    from windtunnel.system import procfs

    own = procfs.read(os.getpid())
    start = own.start if own else 0
    name = uuid.uuid4().hex
    process = {"pid": os.getpid(), "start": start, "boot": procfs.boot_id()}
    with _changing(folder) as holders:
        holders.append({"id": name, "factor": factor, **process})
    return name


def release(folder: Path, name: str) -> None:
    """Remove a holder. The last one takes the file away."""
    with _changing(folder) as holders:
        holders[:] = [holder for holder in holders if holder["id"] != name]


@contextmanager
def _changing(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The living holders, to be changed. The processes of pytest-xdist come here at once."""
    file = folder / NAME
    with open(folder / f"{NAME}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = _load(file)
        former = _effective(data)
        holders = _living(data)
        yield holders
        if not holders:
            file.unlink(missing_ok=True)
            return
        factor = max(holder["factor"] for holder in holders)
        since = former.since if factor == former.factor else time.time()
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"version": 1, "since": since, "holders": holders}, indent=1))
        # A reader sees the old text or the new one.
        new.replace(file)


def _load(file: Path) -> Any:
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(file.read_bytes())
    return None


def _effective(data: Any) -> Impatience:
    living = _living(data)
    if not living:
        return Impatience()
    since = data.get("since")
    began = float(since) if isinstance(since, int | float) else 0.0
    return Impatience(max(holder["factor"] for holder in living), began)


def _living(data: Any) -> list[dict[str, Any]]:
    """The holders whose processes run, without entries that are no holders."""
    from windtunnel.system import procfs

    found = data.get("holders") if isinstance(data, dict) else None
    living = []
    for entry in found if isinstance(found, list) else []:
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            process = int(entry["pid"]), int(entry["start"]), str(entry["boot"])
            factor = float(entry["factor"])
            runs = procfs.alive(*process[:2]) and process[2] == procfs.boot_id()
            if NONE <= factor <= MOST and runs:
                living.append(entry | {"id": str(entry["id"]), "factor": factor})
    return living
