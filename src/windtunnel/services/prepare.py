"""`python -m windtunnel.services.prepare`: makes the state folder before any service starts."""

from __future__ import annotations

import os
import sys

from windtunnel.errors import exit_code
from windtunnel.services import state_folder
from windtunnel.settings import load


def main() -> None:
    if os.environ.get("WINDTUNNEL_PREPARED") == os.environ.get("WINDTUNNEL_STATE"):
        return  # the launcher has just done it
    state_folder.prepare(load(client=False))


if __name__ == "__main__":
    sys.exit(exit_code(main))
