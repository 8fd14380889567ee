"""`python -m windtunnel.environment CMD ...`: runs CMD with the variables of a stack.

The stack is that of the current folder's project, else that of the checkout. `./dev` uses it.

Standard library only: it runs before every command.
"""

from __future__ import annotations

import os
import socket
import sys
from urllib.parse import urlsplit

from windtunnel.errors import Exit, WindtunnelError
from windtunnel.settings import Settings, is_running, load
from windtunnel.stack import inside

#: Commands of Airflow that ask the database nothing.
WITHOUT_DATABASE = {"cheat-sheet", "config", "info", "plugins", "providers", "version"}

#: Airflow's variables with which a person names another database.
OWN_DATABASE = {
    f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN{end}" for end in ("", "_CMD", "_SECRET", "_ASYNC")
}


def main(command: list[str]) -> int:
    """Replace this process by a command.

    Returns:
        The exit code of a failure: 2, or 126 and 127 as a shell has them.
    """
    if not command:
        print("windtunnel: name a command to run", file=sys.stderr)
        return Exit.USAGE
    try:
        # Both read the variables themselves: for `up`, the record of a former stack, or the
        # checkout's own folders, must not replace them.
        if command[0] not in ("process-compose", "windtunnel"):
            settings = load()
            os.environ.update(inside.variables(settings))
            if command[0] == "airflow":
                # Without this file even `airflow version` ends in a traceback.
                settings.secret("database-url")
                _require_database(settings, command[1:])
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


def _require_database(settings: Settings, words: list[str]) -> None:
    """Airflow would end in a traceback of two pages.

    Raises:
        WindtunnelError: the command needs the database, and nothing listens there.
    """
    asks_for_help = not words or not {"-h", "--help"}.isdisjoint(words)
    # A database of the person's own is their own affair.
    another = not OWN_DATABASE.isdisjoint(os.environ)
    if asks_for_help or another or words[0] in WITHOUT_DATABASE:
        return
    url = urlsplit(settings.secret("database-url"))
    where = (url.hostname or "127.0.0.1", url.port or 5432)
    try:
        socket.create_connection(where, timeout=2).close()
    except OSError as error:
        fault = f"`airflow {words[0]}` needs the database at {where[0]}:{where[1]}, and it does not"
        fault += f" answer ({error.strerror or error})"
        if is_running(settings.state):
            raise WindtunnelError(f"{fault}: see `windtunnel status`") from None
        stack = f"no stack is running (state folder {settings.state})"
        step = f"start one with `{settings.start_command}`"
        raise WindtunnelError(f"{fault}; {stack}: {step}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
