"""The user that PostgreSQL runs as.

PostgreSQL refuses to run as root (src/backend/main/main.c, check_root).
So root becomes another user first.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from windtunnel.errors import WindtunnelError

#: The first that exists. Debian's packages make `postgres`; every Linux has `nobody`.
NAMES = ("postgres", "nobody")


def service_user(data: Path) -> pwd.struct_passwd | None:
    """The user to become; None where we are an ordinary user already.

    It is the owner of the data folder, which PostgreSQL insists on. Before there is one it is the
    first of `NAMES`.

    Raises:
        WindtunnelError: we are root, and there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        owner = data.stat().st_uid
        if owner != 0:
            return pwd.getpwuid(owner)
    except (OSError, KeyError):
        pass
    for name in NAMES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise WindtunnelError(
        f"PostgreSQL refuses to run as root and there is no user `{'` or `'.join(NAMES)}`: "
        f"run as an ordinary user, or `useradd --system {NAMES[0]}`"
    )


def require_name() -> None:
    """initdb refuses a uid without a name, as containers with `--user` have it.

    Raises:
        WindtunnelError: we are such a user.
    """
    uid = os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise WindtunnelError(
            f"PostgreSQL cannot be set up by uid {uid}, which has no name on this machine: "
            "run as a user that /etc/passwd has"
        ) from None


def _passable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether the user may pass through every folder above this one."""
    for parent in path.parents:
        info = parent.stat()
        if info.st_uid == user.pw_uid:
            bit = stat.S_IXUSR
        elif info.st_gid == user.pw_gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not info.st_mode & bit:
            return False
    return True


def as_service_user(data: Path, command: list[str]) -> list[str]:
    """The command, run as `service_user` with the right to reach the data folder.

    Args:
        data: the data folder.
        command: the program's absolute path and its arguments.

    Raises:
        WindtunnelError: as `service_user`, or that user cannot reach the program. No capability
            helps there: initdb asks access(2), which looks at the user alone.
    """
    user = service_user(data)
    if user is None:
        return command
    if not _passable(Path(command[0]).resolve(), user):
        raise WindtunnelError(
            f"root runs PostgreSQL as `{user.pw_name}`, who cannot reach {command[0]}: "
            "set WINDTUNNEL_CACHE (or PATH) to a folder that every user can read"
        )
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    if not _passable(data, user):
        # A checkout below /root: the user keeps root's right to pass folders, and no other.
        become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [*become, "--", *command]
