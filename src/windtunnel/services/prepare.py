"""`python -m windtunnel.services.prepare`: makes the state folder before any service starts."""

from __future__ import annotations

import os
import sys

from windtunnel.errors import WindtunnelError
from windtunnel.services import state_folder
from windtunnel.settings import load


def main() -> int:
    if os.environ.get("WINDTUNNEL_PREPARED") == os.environ.get("WINDTUNNEL_STATE"):
        return 0  # the launcher has just done it
    try:
        state_folder.prepare(load(client=False))
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
