"""Several hosts with a real systemd each, on one switch, without a virtual machine.

A host is a set of namespaces (pid, mount, uts, ipc, cgroup, net) over an overlay of this machine's own root file system
with a temporary upper layer, and this machine's systemd as its PID 1. Nothing is mounted, named or routed outside these
namespaces; when the process that made the lab dies, even by SIGKILL, the kernel takes every host down.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from tests.hosts import control_groups
from tests.hosts.host import Host

TOOLS = ("unshare", "nsenter", "setpriv", "ip", "bridge", "mount", "pivot_root", "bash")
NETWORK = "10.77.0"
#: What a host does first, tried once in passing.
PROBE = """
mount -t tmpfs t "$0"; mkdir "$0"/{u,w,r}
mount -t overlay o -o lowerdir=/,upperdir="$0/u",workdir="$0/w" "$0/r"
mount -t proc p "$0/r/proc"; mount -t sysfs s "$0/r/sys"
ip link add name va type veth peer name vb; ip link add name br0 type bridge
"""


def why_not() -> str | None:
    """The reason for `pytest.skip`, None where a lab can run."""
    if os.geteuid():
        return "the hosts lab needs root (namespaces, overlay mounts, control groups)"
    for tool in TOOLS:
        if not shutil.which(tool):
            return f"the hosts lab needs {tool} (packages util-linux and iproute2)"
    if not os.access("/lib/systemd/systemd", os.X_OK):
        return "the hosts lab needs the package systemd (/lib/systemd/systemd)"
    if not os.access(control_groups.TOP, os.W_OK):
        return "the hosts lab needs a writable /sys/fs/cgroup"
    namespaces = [
        "--mount",
        "--pid",
        "--fork",
        "--net",
        "--uts",
        "--ipc",
        "--cgroup",
        "--propagation",
        "private",
    ]
    with tempfile.TemporaryDirectory(prefix="lab-probe-") as folder:
        done = subprocess.run(
            ["unshare", *namespaces, "bash", "-euc", PROBE, folder],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return f"namespaces, overlay, veth or bridge cannot be used here: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return None


class Lab:
    """A switch and its hosts; a context manager, to be entered on the main thread.

    Args:
        names: of the hosts.
        prepare: given a name and a folder that outlives a power-off, shell that is run before the host's systemd starts,
            with the host's root folder as `$1`.
    """

    def __init__(
        self, names: Iterable[str], prepare: Callable[[str, Path], str] = lambda name, kept: ""
    ) -> None:
        self.tag = f"lab{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix="lab-"))
        self.switch = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"],
            start_new_session=True,
        )
        while Path(f"/proc/{self.switch.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        self.on_switch(
            "ip link set lo up; ip link add br0 type bridge stp_state 0; ip link set br0 up"
        )
        self.hosts: dict[str, Host] = {}
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(
                self, name, f"{NETWORK}.{number}", prepare(name, self.folder / "kept" / name)
            )

    def on_switch(self, script: str) -> None:
        """Shell in the switch's network namespace."""
        subprocess.run(
            ["nsenter", "-t", str(self.switch.pid), "-n", "bash", "-euc", script], check=True
        )

    def hosts_file(self) -> str:
        """Text of /etc/hosts."""
        return "127.0.0.1 localhost\n" + "".join(
            f"{host.ip} {name}\n" for name, host in self.hosts.items()
        )

    def __enter__(self) -> Lab:
        try:
            for host in self.hosts.values():
                host.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes everything down. Folders are removed one by one: never a recursive delete where something was mounted."""
        for host in self.hosts.values():
            host.crash()
        self.switch.kill()
        self.switch.wait()
        for host in self.hosts.values():
            host.log_file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                host.mount_point.rmdir()
        for kept in (self.folder / "kept").glob("*/*"):
            shutil.rmtree(kept)
        for folder in [*(self.folder / "kept").glob("*"), self.folder / "kept", self.folder]:
            with contextlib.suppress(OSError):
                folder.rmdir()
