"""`python -m windtunnel.environment CMD ...`: runs CMD with the variables of this checkout's stack.

`./dev` uses it.

Standard library only: it runs before every command.
"""

from __future__ import annotations

import os
import sys

from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import load


def main(command: list[str]) -> int:
    """Replace this process by a command.

    Returns:
        The exit code of a failure: 2, or 126 and 127 as a shell has them.
    """
    if not command:
        print("windtunnel: name a command to run", file=sys.stderr)
        return Exit.USAGE
    try:
        # The launcher reads the variables itself: for `up`, the record of a former stack must not
        # replace them.
        if command[0] != "process-compose":
            settings = load()
            os.environ.update(settings.environment())
            if command[0] == "airflow":
                # Without this file even `airflow version` ends in a traceback.
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
