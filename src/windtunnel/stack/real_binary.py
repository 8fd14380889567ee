"""Finds the real process-compose, which the launcher of that name executes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from windtunnel.errors import WindtunnelError

#: Older ones lose workers when they scale.
OLDEST = (1, 103)


def real_binary() -> str:
    """Path of the real process-compose.

    Raises:
        WindtunnelError: there is none, or it is older than this project supports.
    """
    path = os.environ.get("WINDTUNNEL_PROCESS_COMPOSE") or _bundled() or _search() or _built()
    if path is None or not os.access(path, os.X_OK):
        step = "run ./dev once in windtunnel's checkout, or install a release's wheel"
        raise WindtunnelError(f"process-compose itself is not installed: {step}")
    # Otherwise even this command leaves a log in the temporary folder.
    env = os.environ | {"PC_LOG_FILE": os.devnull}
    done = subprocess.run(
        [path, "version", "--short"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    numbers = re.search(r"v?(\d+)\.(\d+)", done.stdout)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        found = f"{path} is process-compose {numbers[0]}, which loses workers when scaling"
        needed = f"{OLDEST[0]}.{OLDEST[1]} or newer is needed"
        step = "upgrade it, or unset WINDTUNNEL_PROCESS_COMPOSE and let ./dev build one"
        raise WindtunnelError(f"{found}; {needed}: {step}")
    return path


def _bundled() -> str | None:
    """The one that a released wheel of windtunnel carries (tools/release-wheel)."""
    path = Path(__file__).parents[1] / "programs" / "process-compose"
    return str(path) if path.is_file() else None


def _search() -> str | None:
    ourselves = Path(sys.argv[0]).resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        candidate = shutil.which("process-compose", path=folder) if folder else None
        if candidate is None or Path(candidate).resolve() == ourselves:
            continue
        # Another environment's launcher is a short script that imports this module.
        if b"windtunnel.stack.launcher" not in Path(candidate).read_bytes()[:400]:
            return candidate
    return None


def _built() -> str | None:
    """The one that `./dev` built in the checkout from which this windtunnel was installed.

    Not of an editable install: that is the environment of `./dev`, which names it itself. But of a
    project's environment, whose `windtunnel` a person may call without `./dev`.
    """
    # Not above: it loads the survey of a project, and every command of process-compose this file.
    from windtunnel.project import environment, ourselves

    package = Path(__file__).parents[1]
    if Path(sys.prefix).parent.name == environment.FOLDER and ourselves.is_checkout(package):
        return _newest(package.parents[1])
    try:
        text = metadata.distribution("windtunnel").read_text("direct_url.json") or "{}"
        data = json.loads(text)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    url = urlsplit(data.get("url", ""))
    if url.scheme != "file" or data.get("dir_info", {}).get("editable"):
        return None
    return _newest(Path(unquote(url.path)))


def _newest(checkout: Path) -> str | None:
    found = checkout.glob(".tools/process-compose-*")
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return str(newest) if newest else None
