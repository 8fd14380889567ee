"""Notes of open blocks become those of a process that has been killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from windtunnel.system import procfs


def let_die(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        dead = procfs.read(process.pid)
    assert dead is not None
    for file in folder.glob("*.json"):
        facts = json.loads(file.read_text())
        file.write_text(json.dumps(facts | {"pid": dead.pid, "start": dead.start}))
