"""`python -m windtunnel.environment CMD ...`: become CMD, with the variables of this checkout's stack. Used by `./dev`.

Standard library only: it runs before every command.
"""

from __future__ import annotations

import os
import sys

from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import load


def main(command: list[str]) -> int:
    """Replace this process by a command; returns an exit code (2, 126 or 127, as a shell would) only where that fails."""
    if not command:
        print("windtunnel: name a command to run", file=sys.stderr)
        return Exit.USAGE
    try:
        # The launcher reads the variables itself: for `up`, what a former stack was started with must not replace them.
        if command[0] != "process-compose":
            settings = load()
            os.environ.update(settings.environment())
            if command[0] == "airflow":
                # Its configuration reads this file; without it, even `airflow version` ends in a traceback.
                settings.secret("database-url")
        sys.stdout.flush()
        os.execvp(command[0], command)
    except WindtunnelError as error:
        print(f"windtunnel: {error}", file=sys.stderr)
        return error.code
    except FileNotFoundError:
        print(f"windtunnel: {command[0]}: command not found", file=sys.stderr)
        return 127
    except OSError as error:
        print(f"windtunnel: {command[0]}: {error.strerror}", file=sys.stderr)
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
