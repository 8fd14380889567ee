"""Where the programs of RabbitMQ are: a package of the system, or a folder that a person names."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import WindtunnelError

#: Names a rabbitmq-server, or the folder that has it.
VARIABLE = "WINDTUNNEL_RABBITMQ"
#: Debian puts it where the PATH of an ordinary user does not look.
BESIDES = ("/usr/local/sbin", "/usr/sbin", "/usr/lib/rabbitmq/bin")
INSTALL = (
    "`apt-get install rabbitmq-server` (then `systemctl disable --now rabbitmq-server epmd`), "
    f"or set {VARIABLE} to the folder of another one (docs/guides/rabbitmq.md)"
)


@dataclass(frozen=True)
class Programs:
    """Absolute paths."""

    server: Path
    epmd: Path

    @property
    def version(self) -> str:
        """Such as 3.10.8, from the path or from the name of its own plugin; empty if unknown."""
        plugins = self.server.resolve().parents[1] / "plugins"
        names = [str(self.server.resolve()), *(path.name for path in plugins.glob("rabbit-*"))]
        for name in names:
            if found := re.search(r"(?:rabbitmq_server|rabbit)-(\d+(?:\.\d+)+)", name):
                return found[1]
        return ""


def _server(path: str) -> Path | None:
    named = os.environ.get(VARIABLE)
    if named:
        found = Path(named) / "rabbitmq-server" if Path(named).is_dir() else Path(named)
        if not os.access(found, os.X_OK):
            step = "name the folder that has rabbitmq-server, or unset it"
            raise WindtunnelError(f"{VARIABLE}={named} has no program rabbitmq-server: {step}")
        return found.absolute()
    search = os.pathsep.join([path, *BESIDES])
    text = shutil.which("rabbitmq-server", path=search)
    if text is None:
        return None
    # Debian's is a script that changes to the user `rabbitmq`, and to the folders of its service.
    wrapper = Path(text).resolve()
    beside = wrapper.with_name("rabbitmq-server")
    return beside if wrapper.name == "rabbitmq-script-wrapper" and beside.exists() else Path(text)


def find() -> Programs:
    """The programs.

    Raises:
        WindtunnelError: they are not on this machine; the message has the next step.
    """
    path = os.environ.get("PATH", os.defpath)
    server = _server(path)
    if server is None:
        raise WindtunnelError(f"BROKER=rabbitmq, but there is no rabbitmq-server: {INSTALL}")
    epmd = shutil.which("epmd", path=path)
    if epmd is None or shutil.which("erl", path=path) is None:
        step = "put the Erlang that this RabbitMQ wants first on PATH (erl and epmd)"
        raise WindtunnelError(f"{server} is there, but its Erlang is not on PATH: {step}")
    return Programs(server, Path(epmd))
