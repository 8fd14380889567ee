"""The configuration of the stack's Valkey."""

from __future__ import annotations

import json
from pathlib import Path

from windtunnel.settings import Settings


def file(settings: Settings) -> Path:
    """The configuration's path, as in process-compose.yaml. The data are in the same folder."""
    return settings.state / "valkey" / "valkey.conf"


def _quoted(path: Path) -> str:
    """As Valkey reads it (sds.c, `sdssplitargs`): JSON's quotes, but it knows no `\\u`."""
    return json.dumps(str(path), ensure_ascii=False)


def configuration(settings: Settings) -> str:
    """The text of valkey.conf.

    Messages must survive `kill -9`, so each write reaches the file before it is acknowledged.
    """
    lines = {
        "bind": "127.0.0.1",
        "port": settings.ports.valkey,
        "protected-mode": "yes",
        "requirepass": settings.secret("valkey-password"),
        "dir": _quoted(file(settings).parent),
        "pidfile": _quoted(settings.run / "valkey.pid"),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "always",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "stop-writes-on-bgsave-error": "no",
        # Keeps /proc/PID/environ readable: it shows to which stack a process belongs.
        "set-proc-title": "no",
        "tcp-keepalive": 5,
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())
